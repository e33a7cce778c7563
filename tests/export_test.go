package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExport(t *testing.T) {
	vol := env.TempDir(t)
	env.WriteFile(t, filepath.Join(vol, "outside"), "x", 0o644)
	name := start(t, env, "-v", vol+":/vol", "--", "sh", "-c", "echo mine > /mine; rm /etc/group; ln /mine /other; sleep 1000")
	env.Proa("exec", name, "sh", "-c", "while ! test -e /other; do sleep 0.05; done").OK(t)
	file := filepath.Join(env.TempDir(t), "x.tar")
	check := func(state string) {
		t.Helper()
		env.Proa("export", "-o", file, name).OK(t)
		list := "\n" + env.Command("tar", "-tf", file).OK(t).Stdout
		for path, there := range map[string]bool{"mine": true, "other": true, "etc/passwd": true, "etc/group": false, "vol/outside": false, "proc/self": false, "": false} {
			if strings.Contains(list, "\n"+path+"\n") != there {
				t.Errorf("%s: %q is in the archive: %v\n%s", state, path, !there, list)
			}
		}
		equal(t, state+": content", env.Command("tar", "-xOf", file, "mine").OK(t).Stdout, "mine\n")
		stdout := env.Command("sh", "-c", "proa export $0 | cmp - $1", name, file)
		stdout.OK(t)
	}
	check("running")
	env.Proa("stop", "-t", "0", name).OK(t)
	check("stopped")
}

func TestExportRefusals(t *testing.T) {
	name, dir := stopped(t, env), env.TempDir(t)
	refused(t, env.Proa("export"), 125, "one container")
	refused(t, env.Proa("export", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("export", "-o", dir+"/no/such", name), 1, dir+"/no/such")
	refused(t, env.Proa("export", "-o", dir, name), 1, dir, "directory")
	full := env.Proa("export", "-o", "/dev/full", name)
	refused(t, full, 1, "no space left")
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, line := range [][]string{{"export", name}, {"cp", name + ":/etc", "-"}} {
		tty := env.Proa(line...).OnTerminal(t, 24, 80)
		tty.Expect(t, "does not write an archive to a terminal")
		if code := tty.Wait(t); code != 125 {
			t.Errorf("%v: exit code %d, want 125", line, code)
		}
	}
}
