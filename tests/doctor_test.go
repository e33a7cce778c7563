package tests

import (
	"encoding/json"
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
