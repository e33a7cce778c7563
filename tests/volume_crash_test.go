package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// manyFiles is content that takes a while to copy.
func manyFiles(n int) []harness.Entry {
	list := []harness.Entry{{Name: "data/", UID: 1000, GID: 1000}}
	for i := range n {
		if i%50 == 0 {
			list = append(list, harness.Entry{Name: fmt.Sprintf("data/d%d/", i/50), UID: 1000})
		}
		list = append(list, harness.Entry{Name: fmt.Sprintf("data/d%d/f%d", i/50, i), Content: strings.Repeat("x", 4000), Mode: 0o640, UID: 1000})
	}
	return list
}

// TestKillCopyUp kills a run at points spread over its copy into a volume: the next has all of it.
func TestKillCopyUp(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	ref := volumeImage(t, e, "many", []string{"/data", "/srv"}, manyFiles(1500)...)
	dir := filepath.Join(e.Home, ".local/share/containers/storage/volumes")
	seen := map[string]bool{}
	for n := range 20 {
		x := e.Proa("run", "--rm", "--network=none", "--name", "victim", "-v", "v:/data", ref, "true").Exec(context.Background())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+n*8) * time.Millisecond) // the point, wherever it is
		_ = x.Process.Kill()
		_ = x.Wait()
		for _, j := range []string{".proa-filling", ".proa-filled"} {
			if _, err := os.Lstat(filepath.Join(dir, "v", j)); err == nil {
				seen[j] = true
			}
		}
		harness.Eventually(t, "no container is left", func() bool { return e.Proa("ps", "-aq").OK(t).Out() == "" })
		out := e.Proa("run", "--rm", "--network=none", "-v", "v:/data", ref, "sh", "-c", "find /data -type f -size +7 -user 1000 | wc -l; stat -c %u /data").OK(t).Out()
		equal(t, fmt.Sprintf("after a kill at point %d", n), out, "1500\n1000")
		e.Proa("volume", "rm", "v").OK(t)
		equal(t, "volumes", volumes(t, e), "") // the anonymous one went with its container
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if !seen[".proa-filling"] {
		t.Error("no kill came while the volume was filled: the test's points are not where they should be")
	}
}

// TestKillVolumeCommands kills the commands that make and remove volumes.
func TestKillVolumeCommands(t *testing.T) {
	e := env.Fresh(t)
	dir := filepath.Join(e.Home, ".local/share/containers/storage/volumes")
	e.Proa("volume", "create", "big").OK(t)
	file := archive(t, e, "many.tar", harness.Layer(manyFiles(1500)...))
	for n := range 16 {
		for _, line := range [][]string{{"import", "big", file}, {"create", "new"}, {"rm", "-f", "big"}} {
			x := e.Proa(append([]string{"volume"}, line...)...).Exec(context.Background())
			if err := x.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(4+n*5) * time.Millisecond)
			_ = x.Process.Kill()
			_ = x.Wait()
		}
		e.Proa("volume", "create", "big").OK(t)
		e.Proa("volume", "reload").OK(t)
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if strings.HasPrefix(f.Name(), ".") {
				t.Errorf("left in the store: %s", f.Name())
			}
			below, err := os.ReadDir(filepath.Join(dir, f.Name()))
			if err != nil || len(below) != 2 {
				t.Errorf("volume %s holds %v: %v", f.Name(), below, err)
			}
		}
	}
	e.Proa("volume", "rm", "-a").OK(t)
	equal(t, "volumes", volumes(t, e), "")
}

// TestVolumeDiskFull fills the disk in the copy into a volume: the run says so, and the volume is empty, not half full.
func TestVolumeDiskFull(t *testing.T) {
	harness.Requires(t, "root", "unshare", "setpriv")
	e := env.Fresh(t)
	img := baseImage(t)
	img.Layers = append(img.Layers[:len(img.Layers):len(img.Layers)], harness.Layer(manyFiles(1500)...))
	file := archive(t, e, "i.tar", img.DockerArchive("localhost/many:1"))
	script := "mount -t tmpfs -o size=48m,mode=700,uid=$0 none " + e.Home
	proa, volumes := filepath.Join(e.Prefix, "bin/proa"), filepath.Join(e.Home, ".local/share/containers/storage/volumes")
	r := e.CommandIn(script, "sh", "-c", proa+" load -q -i "+file+" >/dev/null; "+
		"head -c $((($(df -k --output=avail "+e.Home+" | tail -1) - 3000) * 1024)) /dev/zero > "+e.Home+"/filler; "+proa+" run --rm --network=none -v v:/data localhost/many:1 true; echo run=$?; find "+volumes+"/v | wc -l; "+
		proa+" ps -aq; "+proa+" run --rm --network=none -v v:/data:nocopy localhost/many:1 ls -A /data; echo then=$?; "+proa+" volume rm v").Run(t)
	equal(t, "what happened", r.Stdout, "run=125\n3\nthen=0\nv\n")
	if !strings.Contains(r.Stderr, "no space left") || !strings.Contains(r.Stderr, `volume "v"`) || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("the error is not one sentence that says that the disk is full: %s", r.Stderr)
	}
}

// TestVolumeRace makes, uses and removes volumes of one name at once: nothing is lost and nothing stays.
func TestVolumeRace(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", image, "true").OK(t)
	proa := filepath.Join(e.Prefix, "bin/proa")
	script := `for i in 1 2 3 4 5 6; do
	( "$0" run --rm --network=none -v v:/home -v /anon $1 sh -c 'test -d /home/alice' || echo run $? ) &
	( "$0" volume rm v 2>&1 | grep -v 'in use\|no such volume\|held\|holds\|^v$' ) &
	wait
done`
	r := e.Command("sh", "-c", script, proa, image).OK(t)
	equal(t, "errors", r.Stdout+r.Stderr, "")
	e.Proa("volume", "rm", "-f", "v").OK(t)
	equal(t, "volumes", volumes(t, e), "")
}

// TestVolumeReboot loses the records of --rm containers, and with them their anonymous volumes; what has a name stays.
func TestVolumeReboot(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "-d", "--rm", "--name", "lost", "--network=none", "-v", "/a", "-v", "named:/b", image, "sh", "-c", "echo x > /b/f; sleep 1000").OK(t)
	e.Proa("run", "-d", "--name", "c", "--network=none", "-v", "/a", image, "sleep", "1000").OK(t)
	if n := len(strings.Fields(volumes(t, e))); n != 3 {
		t.Fatalf("%d volumes, want 3", n)
	}
	harness.Eventually(t, "the file is written", func() bool {
		return e.Proa("run", "--rm", "--network=none", "-v", "named:/b", image, "cat", "/b/f").Run(t).Out() == "x"
	})
	// Whoever has another run directory does not know of the first container, and leaves its volumes alone.
	other := e.Proa("volume", "reload")
	other.Env = []string{"XDG_RUNTIME_DIR=" + e.TempDir(t)}
	if err := os.Chmod(strings.TrimPrefix(other.Env[0], "XDG_RUNTIME_DIR="), 0o700); err != nil {
		t.Fatal(err)
	}
	equal(t, "with another run directory", other.OK(t).Out(), "")
	if n := len(strings.Fields(volumes(t, e))); n != 3 {
		t.Errorf("%d volumes, want 3", n)
	}
	// A reboot ends everything at once: here the monitor first, so that it cleans up nothing.
	init, monitor := pids(t, e, "lost")
	kill(t, monitor)
	_ = syscall.Kill(init, syscall.SIGKILL) // if it has outlived its monitor
	harness.Eventually(t, "its processes are gone", func() bool { return syscall.Kill(init, 0) != nil })
	if err := e.Reboot(); err != nil {
		t.Fatal(err)
	}
	out := e.Proa("volume", "reload").OK(t).Out()
	if !strings.HasPrefix(out, "removed the volume ") || strings.Contains(out, "\n") {
		t.Errorf("reload: %q", out)
	}
	if list := strings.Fields(volumes(t, e)); len(list) != 2 || list[1] != "named" {
		t.Errorf("after a reboot: %q", list)
	}
	e.Proa("start", "c").OK(t)
	e.Proa("rm", "-fv", "c").OK(t)
	equal(t, "volumes", volumes(t, e), "named")
}

func TestVolumeOfOtherRuntime(t *testing.T) {
	harness.Requires(t, "crun")
	v := newVolume(t, env)
	equal(t, "copy-up", run(t, "--runtime", "crun", "-v", v+":/home", "--", "sh", "-c", "echo x > /home/f; stat -c %u /home/alice").OK(t).Out(), "1000")
	equal(t, "content", run(t, "-v", v+":/d:ro", "--", "cat", "/d/f").OK(t).Out(), "x")
	refused(t, run(t, "--runtime", "crun", "--mount", "src="+v+",dst=/d,volume-subpath=alice", "--", "true"), 125, "volume-subpath", "--runtime")
}
