package launch

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

// config is a launch of a command with nothing isolated: it needs no privilege.
func config(t *testing.T, args ...string) *Config {
	t.Helper()
	f, err := initbin.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Config{InitFD: f, Plan: &plan.Plan{Root: plan.Root{Path: "/"}, Process: plan.Process{
		Args: args, Env: []string{"PATH=/bin:/usr/bin"}, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), KeepGroups: true,
	}}}
}

// isolated adds a user namespace, in which the test's user is root, and others.
func isolated(t *testing.T, c *Config, flags ...uint64) *Config {
	t.Helper()
	for _, f := range append(flags, unix.CLONE_NEWUSER) {
		c.Plan.Namespaces = append(c.Plan.Namespaces, plan.Namespace{Type: f})
	}
	c.Plan.UIDMaps = []plan.IDMap{{Container: 0, Host: uint32(os.Getuid()), Size: 1}}
	c.Plan.GIDMaps = []plan.IDMap{{Container: 0, Host: uint32(os.Getgid()), Size: 1}}
	c.Plan.Process.UID, c.Plan.Process.GID = 0, 0
	return c
}

// run starts c and returns its output and how it ended.
func run(t *testing.T, c *Config) (string, syscall.WaitStatus) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	p, err := Start(c)
	w.Close()
	if errors.Is(err, unix.EPERM) && len(c.Plan.UIDMaps) > 0 {
		t.Skip("needs user namespaces, which this host refuses:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.PidFD.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), ws
}

func TestRun(t *testing.T) {
	out, ws := run(t, config(t, "sh", "-c", "echo hello; exit 3"))
	if out != "hello\n" || ws.ExitStatus() != 3 {
		t.Errorf("%q, %v", out, ws)
	}
	if _, ws := run(t, config(t, "sh", "-c", "kill -USR1 $$")); !ws.Signaled() || ws.Signal() != syscall.SIGUSR1 {
		t.Errorf("ended with %v", ws)
	}
}

// TestDescriptors: the command has its streams, what it is to keep, and nothing else of the launcher's.
func TestDescriptors(t *testing.T) {
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	if _, err := unix.FcntlInt(leak.Fd(), unix.F_SETFD, 0); err != nil { // as a careless caller has it
		t.Fatal(err)
	}
	for keep := range 3 {
		c := config(t, "sh", "-c", "ls /proc/self/fd") // ls has the next free one for the directory
		for range keep {
			c.Preserve = append(c.Preserve, leak)
		}
		out, _ := run(t, c)
		want := ""
		for fd := range 3 + keep + 1 {
			want += strconv.Itoa(fd) + "\n"
		}
		if out != want {
			t.Errorf("with %d to keep, the command has %q", keep, strings.Fields(out))
		}
	}
}

func TestNamespaces(t *testing.T) {
	c := isolated(t, config(t, "sh", "-c", "id -u; hostname; echo $$; cat /proc/self/uid_map"), unix.CLONE_NEWPID, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC)
	c.Plan.Hostname = "box"
	out, ws := run(t, c)
	f := strings.Fields(out)
	if ws.ExitStatus() != 0 || len(f) != 6 || f[0] != "0" || f[1] != "box" || f[2] != "1" || f[5] != "1" {
		t.Errorf("%q, %v", out, ws)
	}
	host, _ := os.Hostname()
	if host == "box" {
		t.Error("the host has the container's name")
	}
}

func TestPrepare(t *testing.T) {
	c := isolated(t, config(t, "true"))
	c.Plan.Prepare = true
	var seen int
	c.Prepare = func(pid int) error {
		seen = pid
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/uid_map"); err != nil || len(b) == 0 {
			t.Errorf("it is asked before the ids are mapped: %q, %v", b, err)
		}
		return nil
	}
	if _, ws := run(t, c); ws.ExitStatus() != 0 || seen == 0 {
		t.Errorf("%v; prepared %d", ws, seen)
	}
	boom := errors.New("boom")
	c.Prepare = func(pid int) error { seen = pid; return boom }
	if _, err := Start(c); !errors.Is(err, boom) {
		t.Errorf("what fails in the launcher: %v", err)
	}
	if err := unix.Kill(seen, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the init is left: %v", err)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		command, text string
		code          int
	}{
		{"no-such-command", "executable file not found in $PATH", 127},
		{dir + "/none", "no such file or directory", 127},
		{write("plain", "text", 0o644), "permission denied", 126},
		{dir, "is a directory", 126},
		{write("noexec", "no header", 0o755), "exec format error", 126},
		{write("nointerp", "#!/no/such/interpreter\n", 0o755), "its interpreter", 127},
		{"", "there is no command", 127},
	} {
		p, err := Start(config(t, c.command))
		var e *plan.Error
		if !errors.As(err, &e) || e.ExitCode() != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q: %v (want %d, %s)", c.command, err, c.code, c.text)
		}
		if p != nil {
			t.Errorf("%q: a process is left: %+v", c.command, p)
		}
	}
	for cwd, text := range map[string]string{"/no/such/dir": "no such file or directory", "/etc/passwd": "not a directory", "/proc/self/cwd": "symbolic links"} {
		c := config(t, "true")
		c.Plan.Process.Cwd = cwd
		if _, err := Start(c); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), cwd) {
			t.Errorf("cwd %q: %v", cwd, err)
		}
	}
	c := config(t, "true")
	c.Plan.Namespaces = []plan.Namespace{{Type: unix.CLONE_NEWUTS, Path: dir + "/none"}}
	if _, err := Start(c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

// TestCreated: with a fifo Start returns before the command runs, and who opens it lets it go.
func TestCreated(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fifo, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, "echo", "started")
	c.Fifo = os.NewFile(uintptr(fd), "fifo")
	defer c.Fifo.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout = w
	p, err := Start(c)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer p.PidFD.Close()
	if cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/cmdline"); err != nil || !bytes.HasPrefix(cmdline, []byte("proa-init\x00init\x00")) {
		t.Errorf("before the start it is %q, %v", cmdline, err)
	}
	b, err := os.ReadFile(fifo)
	if err != nil || len(b) != 1 {
		t.Errorf("the fifo gave %q, %v", b, err)
	}
	if out, err := io.ReadAll(r); err != nil || string(out) != "started\n" {
		t.Errorf("the command says %q, %v", out, err)
	}
	if ws, err := p.Wait(); err != nil || ws.ExitStatus() != 0 {
		t.Errorf("%v, %v", ws, err)
	}
}

// TestReaper: pid 1 with an init reaps an orphan, passes signals on and ends as the command does.
func TestReaper(t *testing.T) {
	c := isolated(t, config(t, "sh", "-c", `echo $$; sh -c 'sh -c "sleep 0.1" & exit 0'; sleep 0.3; ls /proc | grep -c '^[0-9]'; exit 5`), unix.CLONE_NEWPID)
	c.Plan.Init = true
	out, ws := run(t, c)
	if f := strings.Fields(out); ws.ExitStatus() != 5 || len(f) < 1 || f[0] == "1" {
		t.Errorf("%q, %v", out, ws)
	}
	c = isolated(t, config(t, "sh", "-c", "kill -KILL $$"), unix.CLONE_NEWPID)
	c.Plan.Init = true
	if _, ws := run(t, c); ws.ExitStatus() != 137 {
		t.Errorf("a killed command: %v", ws)
	}
	c = isolated(t, config(t, "no-such-command"), unix.CLONE_NEWPID)
	c.Plan.Init = true
	if _, err := Start(c); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("no such command: %v", err)
	}
}

func TestExec(t *testing.T) {
	c := isolated(t, config(t, "sleep", "600"), unix.CLONE_NEWPID, unix.CLONE_NEWUTS)
	c.Plan.Hostname = "box"
	p, err := Start(c)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs user namespaces, which this host refuses:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Kill(p.Pid, unix.SIGKILL); p.Wait(); p.PidFD.Close() }()
	x := config(t, "true")
	if _, err := Exec(x, p.Pid, p.PidFD); err == nil || !strings.Contains(err.Error(), "no helper is configured") {
		t.Errorf("into another user namespace without a helper: %v", err)
	}
	other, err := Start(config(t, "true"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	defer other.PidFD.Close()
	if _, err := Exec(x, os.Getpid(), other.PidFD); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("a pid that was taken: %v", err)
	}
}

func TestStartTime(t *testing.T) {
	own, err := StartTime(os.Getpid())
	if err != nil || own == 0 {
		t.Errorf("%d, %v", own, err)
	}
	init, err := StartTime(1)
	if err != nil || init > own {
		t.Errorf("process 1 began at %d, this one at %d, %v", init, own, err)
	}
	if _, err := StartTime(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such process: %v", err)
	}
}

func TestReceiveRefuses(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for name, oob := range map[string][]byte{"nothing": nil, "noise": {1, 2, 3}, "two": unix.UnixRights(int(r.Fd()), int(w.Fd()))} {
		if _, err := receive(oob); !errors.Is(err, unix.EBADMSG) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
