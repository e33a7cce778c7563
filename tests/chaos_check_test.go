package tests

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

func mapsKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// chaosRecord is a container as ps and inspect agree on it.
type chaosRecord struct {
	ID, Name, State string
	Init, Monitor   int
}

// check wants every invariant to hold. A process that was killed may take a moment to be gone, and what a command that
// was killed has left is tidied by the next one.
func (c *chaos) check(t *testing.T) {
	t.Helper()
	var wrong []string
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		records, problems := c.records(t)
		wrong = slices.Concat(problems, c.wrongFiles(t, records), c.wrongProcesses(records), c.wrongCgroups(t, records), c.heldLocks(t))
		for _, m := range append(c.e.Mounts(t), c.e.PauseMounts()...) {
			wrong = append(wrong, "mounted: "+m)
		}
		if len(wrong) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, w := range wrong {
		t.Error(w)
	}
	if r := c.proa("system", "check", "--quick", "--max", "0s").Run(t); r.Code != 0 {
		t.Errorf("system check: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// records are the containers, and how ps and inspect disagree on them.
func (c *chaos) records(t *testing.T) (out []chaosRecord, wrong []string) {
	t.Helper()
	list := c.proa("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}").OK(t)
	if list.Stderr != "" {
		wrong = append(wrong, "ps: "+list.Stderr)
	}
	for line := range strings.Lines(list.Stdout) {
		var r chaosRecord
		if n, err := fmt.Sscan(line, &r.ID, &r.Name, &r.State); n != 3 {
			t.Fatalf("ps says %q: %v", line, err)
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return out, wrong
	}
	args := []string{"inspect", "-f", "{{.Id}} {{.Name}} {{.State.Status}} {{.State.Pid}} {{.State.ConmonPid}}"}
	for _, r := range out {
		args = append(args, r.ID)
	}
	r := c.proa(args...).Run(t)
	if r.Code != 0 {
		return out, append(wrong, "inspect: "+r.Stderr)
	}
	for i, line := range strings.Split(r.Out(), "\n") {
		var id, name, state string
		fmt.Sscan(line, &id, &name, &state, &out[i].Init, &out[i].Monitor)
		if id != out[i].ID || strings.TrimPrefix(name, "/") != out[i].Name || state != out[i].State {
			wrong = append(wrong, fmt.Sprintf("ps says %v, inspect says %s", out[i], line))
		}
		if up := slices.Contains([]string{"running", "paused", "initialized"}, state); up != (out[i].Init != 0) {
			wrong = append(wrong, fmt.Sprintf("inspect says %s", line))
		}
	}
	return out, wrong
}

// wrongFiles are the directories, lock files and layers without a record, and the records without a layer.
func (c *chaos) wrongFiles(t *testing.T, records []chaosRecord) (wrong []string) {
	t.Helper()
	known := map[string]bool{}
	for _, r := range records {
		known[r.ID] = true
	}
	for _, dir := range []string{
		filepath.Join(c.e.Runtime, "proa/containers"), filepath.Join(c.e.Runtime, "proa/locks"), filepath.Join(c.e.Home, ".local/share/proa/containers"),
	} {
		list, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, f := range list {
			if !known[f.Name()] {
				wrong = append(wrong, filepath.Join(dir, f.Name())+" is of no container")
			}
		}
	}
	layers := map[string]bool{}
	store := filepath.Join(c.e.Home, ".local/share/containers/storage/overlay-containers")
	for _, file := range []string{filepath.Join(store, "containers.json"), filepath.Join(c.e.Runtime, "containers/overlay-containers/volatile-containers.json"), filepath.Join(store, "volatile-containers.json")} {
		b, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		var list []struct{ ID string }
		if err == nil {
			err = json.Unmarshal(b, &list)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, l := range list {
			layers[l.ID] = true
			if !known[l.ID] {
				wrong = append(wrong, fmt.Sprintf("%s has %s, which is no container", file, l.ID))
			}
		}
	}
	for id := range known {
		if !layers[id] {
			wrong = append(wrong, id+" has no layer")
		}
	}
	return wrong
}

// wrongProcesses are those that belong to no running container, and the containers that run without one.
func (c *chaos) wrongProcesses(records []chaosRecord) (wrong []string) {
	monitors, spaces := map[int]bool{}, map[string]bool{}
	for _, r := range records {
		monitors[r.Monitor] = true // one that is to start it again, too
		if r.Init == 0 {
			continue
		}
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", r.Init))
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%v: %v", r, err))
		}
		spaces[ns] = true
	}
	pauses := 0
	for _, p := range c.e.Processes() {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.PID))
		switch {
		case err != nil, c.before[p.PID], spaces[ns], monitors[p.PID]:
		case filepath.Base(p.Args[0]) == "podman" || filepath.Base(p.Args[0]) == "catatonit": // Podman's own pause process
		case p.Args[0] == "proa-pause":
			pauses++
		default:
			wrong = append(wrong, fmt.Sprintf("process %v of no container: %s", p, circumstances(p.PID)))
		}
	}
	if pauses != 1 {
		wrong = append(wrong, fmt.Sprintf("%d pause processes", pauses))
	}
	return wrong
}

// circumstances are what may tell why a process is still there.
func circumstances(pid int) string {
	dir := fmt.Sprintf("/proc/%d/", pid)
	wchan, _ := os.ReadFile(dir + "wchan")
	stack, _ := os.ReadFile(dir + "stack")
	mounts, _ := os.ReadFile(dir + "mountinfo")
	_, upper, _ := strings.Cut(string(mounts), "upperdir=")
	upper, _, _ = strings.Cut(upper, ",")
	stat, _ := os.ReadFile(dir + "stat")
	out := fmt.Sprintf("state %s, waits in %s, its root is %s, %s%s", processState(pid), wchan, upper, stat, stack)
	fds, _ := os.ReadDir(dir + "fd")
	for _, fd := range fds {
		target, _ := os.Readlink(dir + "fd/" + fd.Name())
		out += " " + fd.Name() + ":" + target
	}
	return out
}

// wrongCgroups are those of no container.
func (c *chaos) wrongCgroups(t *testing.T, records []chaosRecord) (wrong []string) {
	t.Helper()
	if c.d == nil {
		return nil
	}
	known := map[string]bool{"proa": true}
	for _, r := range records {
		known["proa/"+r.ID] = true
	}
	for _, g := range c.d.Cgroups(t) {
		if !known[g] {
			wrong = append(wrong, "cgroup "+g+" is of no container")
		}
	}
	return wrong
}

// heldLocks are the lock files that some process holds when no command runs. That of a live monitor and of the pause
// process are theirs.
func (c *chaos) heldLocks(t *testing.T) (held []string) {
	t.Helper()
	for _, root := range []string{c.e.Home, c.e.Runtime} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() && (e.Name() == "diff" || e.Name() == "work") {
				return fs.SkipDir
			}
			lock := filepath.Ext(path) == ".lock" || filepath.Base(filepath.Dir(path)) == "locks"
			if e.IsDir() || !lock || slices.Contains([]string{"monitor.lock", "pause.lock"}, e.Name()) {
				return nil
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return nil // removed with its container
			}
			defer f.Close()
			l := syscall.Flock_t{Type: syscall.F_WRLCK}
			posix := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l)
			if posix == nil && l.Type != syscall.F_UNLCK || syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
				held = append(held, "locked: "+path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return held
}

// finish removes everything, and wants nothing to be left; before that, Podman reads what is there.
func (c *chaos) finish(t *testing.T) {
	t.Helper()
	c.podmanReads(t)
	if r := c.proa("system", "check", "--max", "0s").Run(t); r.Code != 0 {
		t.Errorf("system check: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	c.proa("rm", "-fa").OK(t)
	c.check(t)
	equal(t, "ps", c.proa("ps", "-aq").OK(t).Out(), "")
	c.proa("rmi", "-a", "-f").OK(t)
	equal(t, "images", c.proa("images", "-aq").OK(t).Out(), "")
	layers, err := filepath.Glob(filepath.Join(c.e.Home, ".local/share/containers/storage/overlay/*/diff"))
	if err != nil || len(layers) > 1 { // one of proa's own, the skeleton that is below every root
		t.Errorf("layers left: %v, %v", layers, err)
	}
	c.check(t)
	c.proa("load", "-i", c.archives[0]).OK(t)
	equal(t, "run", c.proa("run", "--rm", "--network=none", chaosImage(0), "echo", "hi").OK(t).Out(), "hi")
}

// podmanReads wants Podman, where it is installed, to see the images that proa sees.
func (c *chaos) podmanReads(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		t.Log("Podman is not installed: whether it reads the store was not tried")
		return
	}
	conf := c.e.WriteFile(t, filepath.Join(c.e.TempDir(t), "storage.conf"), fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", c.e.Runtime+"/containers", filepath.Join(c.e.Home, ".local/share/containers/storage")), 0o644)
	podman := c.e.Command("podman", "--cgroup-manager=cgroupfs", "--events-backend=file", "images", "--format", listFormat)
	podman.Env = []string{"CONTAINERS_STORAGE_CONF=" + conf}
	sorted := func(r harness.Result) string {
		l := strings.Split(r.Out(), "\n")
		slices.Sort(l)
		return strings.Join(l, " ")
	}
	equal(t, "podman images", sorted(podman.OK(t)), sorted(c.proa("images", "--format", listFormat).OK(t)))
}
