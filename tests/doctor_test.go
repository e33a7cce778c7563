package tests

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestDoctor(t *testing.T) {
	r := env.Proa("doctor").Run(t)
	if r.Code > 1 {
		t.Errorf("doctor exits with %d: %s", r.Code, r.Stderr)
	}
	for _, what := range []string{"kernel", "user namespace", "subuid", "newuidmap", "XDG_RUNTIME_DIR", "overlay", "cgroup", "/dev/net/tun", "linger", "storage"} {
		if !strings.Contains(r.Stdout, what) {
			t.Errorf("doctor does not check %s: %s", what, r.Stdout)
		}
	}
	out := env.Proa("doctor", "--json").Run(t).Stdout
	if !json.Valid([]byte(out)) {
		t.Errorf("doctor --json: %s", out)
	}
}

const noSubIDs = "mount -t tmpfs none /mnt && : > /mnt/e && mount --bind /mnt/e /etc/subuid && mount --bind /mnt/e /etc/subgid"

func TestDoctorFindsWhatIsMissing(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	// In a mount namespace of its own, the files that hold subordinate ids are empty.
	e := env.Fresh(t)
	r := e.CommandIn(noSubIDs, "proa", "doctor").Run(t)
	if !strings.Contains(r.Stdout, "usermod --add-subuids") {
		t.Errorf("doctor does not name the command that gives subordinate ids: %s%s", r.Stdout, r.Stderr)
	}
}

func TestDoctorLeavesNothingBehind(t *testing.T) {
	e := env.Fresh(t)
	data := e.Home + "/.local/share/proa"
	e.Command("mkdir", "-p", data).OK(t)
	before := entries(t, data)
	e.Proa("doctor").Run(t)
	if after := entries(t, data); after != before {
		t.Errorf("doctor left something in %s: %q, before: %q", data, after, before)
	}
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range list {
		out = append(out, d.Name())
	}
	return strings.Join(out, " ")
}

func TestDoctorFindsAMapperWithoutPrivilege(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	const plain = "mount -t tmpfs none /mnt && cp /usr/bin/newuidmap /mnt/n && chmod 755 /mnt/n && mount --bind /mnt/n /usr/bin/newuidmap"
	r := env.Fresh(t).CommandIn(plain, "proa", "doctor").Run(t)
	if r.Code != 1 || !strings.Contains(r.Stdout, "sudo setcap cap_setuid=ep /usr/bin/newuidmap") {
		t.Errorf("exit status %d, want 1 and the command that gives it privilege: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

func TestDoctorReadsConfiguration(t *testing.T) {
	e := env.Fresh(t)
	e.Command("sh", "-c", "mkdir -p $HOME/.config/containers && echo { > $HOME/.config/containers/policy.json").OK(t)
	r := e.Proa("doctor").Run(t)
	if r.Code != 1 || !strings.Contains(r.Stdout, e.Home+"/.config/containers/policy.json: ") {
		t.Errorf("exit status %d, want 1 and what the file lacks: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}
