package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

// start runs a real monitor and configures it, with a plan of no namespaces, so that it needs no privilege: the command is a child of it.
func start(t *testing.T, cfg monitor.Config, args ...string) (*monitor.Conn, *exec.Cmd, string) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Log.Driver == "" {
		cfg.Log = monitor.Log{Driver: "k8s-file", Path: filepath.Join(cfg.Dir, "log")}
	}
	var err error
	cfg.Plan, err = json.Marshal(&plan.Plan{Root: plan.Root{Path: "/"}, Process: plan.Process{
		Args: args, Env: []string{"PATH=/bin:/usr/bin"}, Cwd: "/", UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), KeepGroups: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.CreateTemp(t.TempDir(), "config")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(conf).Encode(cfg); err != nil {
		t.Fatal(err)
	}
	conn, cmd := process(t)
	if err := conn.SendFiles(monitor.Configure, nil, conf); err != nil {
		t.Fatal(err)
	}
	conf.Close()
	return conn, cmd, cfg.Dir
}

// process is a monitor that is not configured yet.
func process(t *testing.T) (*monitor.Conn, *exec.Cmd) {
	t.Helper()
	prog, err := initbin.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	conn, theirs, err := monitor.Pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/fd/4", "monitor")
	cmd.ExtraFiles = []*os.File{theirs, prog}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	prog.Close()
	t.Cleanup(func() { conn.Close(); cmd.Process.Kill(); cmd.Wait() })
	return conn, cmd
}

func receive(t *testing.T, c *monitor.Conn) (byte, []byte) {
	t.Helper()
	kind, payload, err := c.Receive(make([]byte, monitor.MaxPayload+1))
	if err != nil {
		t.Fatal(err)
	}
	return kind, payload
}

func started(t *testing.T, c *monitor.Conn) (init monitor.Init) {
	t.Helper()
	kind, payload := receive(t, c)
	if err := json.Unmarshal(payload, &init); kind != monitor.Started || err != nil {
		t.Fatalf("the monitor answers %q %s", kind, payload)
	}
	return init
}

// untilExit is what a client hears of each stream, and how the container ended.
func untilExit(t *testing.T, c *monitor.Conn) (out, err string, exit monitor.Exit) {
	t.Helper()
	for {
		switch kind, payload := receive(t, c); kind {
		case monitor.Stdout:
			out += string(payload)
		case monitor.Stderr:
			err += string(payload)
		case monitor.Exited:
			if err := json.Unmarshal(payload, &exit); err != nil {
				t.Fatal(err)
			}
			return out, err, exit
		}
	}
}

func readJSON(t *testing.T, dir, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAttachedRun(t *testing.T) {
	conn, cmd, dir := start(t, monitor.Config{Attached: true, Stdin: true}, "sh", "-c", "echo out; echo err >&2; cat; exit 7")
	init := started(t, conn)
	var filed monitor.Init
	readJSON(t, dir, monitor.InitFile, &filed)
	if filed.PID != init.PID || filed.StartTime != init.StartTime || init.PID == 0 || init.StartTime == 0 {
		t.Errorf("the starter heard %+v, the file has %+v", init, filed)
	}
	for _, word := range []string{"typed\n", "unfinished"} {
		if err := conn.Send(monitor.Stdin, []byte(word)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Send(monitor.StdinEOF, nil); err != nil {
		t.Fatal(err)
	}
	out, errs, exit := untilExit(t, conn)
	if out != "out\ntyped\nunfinished" || errs != "err\n" || exit.Code != 7 || exit.OOMKilled || exit.FinishedAt.IsZero() {
		t.Errorf("heard %q, %q, %+v", out, errs, exit)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the monitor: %v", err)
	}
	var last monitor.Exit
	readJSON(t, dir, monitor.ExitFile, &last)
	if last.Code != exit.Code || !last.FinishedAt.Equal(exit.FinishedAt) {
		t.Errorf("the client heard %+v, the file has %+v", exit, last)
	}
	var tags []string
	for _, l := range lines(t, filepath.Join(dir, "log")) {
		tags = append(tags, strings.SplitN(l, " ", 2)[1])
	}
	log := strings.Join(tags, "|")
	for _, want := range []string{"stdout F out", "stderr F err", "stdout F typed", "stdout P unfinished"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q: %q", want, log)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, monitor.AttachFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the attach socket is still there: %v", err)
	}
}

func TestSignalledRun(t *testing.T) {
	conn, _, _ := start(t, monitor.Config{Attached: true}, "sleep", "600")
	init := started(t, conn)
	if err := unix.Kill(init.PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, _, exit := untilExit(t, conn); exit.Code != 128+15 {
		t.Errorf("ended with %+v", exit)
	}
}

// TestDetachedRun: the starter's socket is closed, two clients come, one goes, the other hears the end.
func TestDetachedRun(t *testing.T) {
	conn, cmd, dir := start(t, monitor.Config{Stdin: true}, "sh", "-c", "while read x; do echo got $x; done")
	started(t, conn)
	if _, _, err := conn.Receive(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Errorf("the starter's socket: %v", err)
	}
	var clients [2]*monitor.Conn
	for i := range clients {
		var err error
		if clients[i], err = monitor.Dial(dir); err != nil {
			t.Fatal(err)
		}
		defer clients[i].Close()
	}
	// An answer to each shows that both are attached; what the second sent reaches the first too.
	for i, c := range clients {
		if err := c.Send(monitor.Stdin, fmt.Appendf(nil, "%d\n", i)); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("got %d\n", i)
		for {
			if kind, got := receive(t, clients[i]); kind == monitor.Stdout && string(got) == want {
				break
			}
		}
	}
	if kind, got := receive(t, clients[0]); kind != monitor.Stdout || string(got) != "got 1\n" {
		t.Errorf("the first client heard %q %q", kind, got)
	}
	clients[0].Close()
	if err := clients[1].Send(monitor.StdinEOF, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, exit := untilExit(t, clients[1]); exit.Code != 0 {
		t.Errorf("ended with %+v", exit)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the monitor: %v", err)
	}
}

// TestStuckClient: a client that is stopped keeps neither another from hearing how the container ended nor the monitor
// from coming to its end.
func TestStuckClient(t *testing.T) {
	stuck, cmd, dir := start(t, monitor.Config{Attached: true, Stdin: true}, "sh", "-c", "yes full | head -c 8000000; exit 4")
	init := started(t, stuck) // and reads no more
	hang := time.AfterFunc(30*time.Second, func() { panic("a client that is stopped stops the monitor") })
	defer hang.Stop()
	for size := int64(-1); ; { // until its buffer is full, and the container's output stands still
		st, err := os.Stat(filepath.Join(dir, "log"))
		if err == nil && st.Size() == size && size > 0 {
			break
		}
		if err == nil {
			size = st.Size()
		}
		time.Sleep(300 * time.Millisecond)
	}
	other, err := monitor.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Kill(init.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, _, exit := untilExit(t, other); exit.Code != 137 {
		t.Errorf("ended with %+v", exit)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the monitor: %v", err)
	}
}

// TestCleanup: nobody listens, so the monitor becomes the clean-up, its lock gone.
func TestCleanup(t *testing.T) {
	dir := t.TempDir()
	conn, cmd, _ := start(t, monitor.Config{
		Dir: dir, Cleanup: []string{"/bin/sh", "-c", `test -s "$DIR/exit" && echo done > "$DIR/cleaned"`}, CleanupEnv: []string{"DIR=" + dir},
	}, "true")
	started(t, conn)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the clean-up: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "cleaned")); err != nil || string(b) != "done\n" {
		t.Errorf("cleaned: %q, %v", b, err)
	}
}

// TestHeardEndIsNotCleanedUp: who heard how the container ended cleans up.
func TestHeardEndIsNotCleanedUp(t *testing.T) {
	dir := t.TempDir()
	conn, cmd, _ := start(t, monitor.Config{Dir: dir, Attached: true, Cleanup: []string{"/bin/touch", dir + "/cleaned"}}, "true")
	started(t, conn)
	untilExit(t, conn)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the monitor: %v", err)
	}
	if _, err := os.Stat(dir + "/cleaned"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("cleaned up twice: %v", err)
	}
}

func TestFailures(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		command string
		cfg     monitor.Config
		code    int
		message string
	}{
		{"no-such-command", monitor.Config{}, 127, `"no-such-command"`},
		{"/no/such/command", monitor.Config{}, 127, "/no/such/command"},
		{plain, monitor.Config{}, 126, "permission denied"},
		{"/", monitor.Config{}, 126, "is a directory"},
		{"true", monitor.Config{Log: monitor.Log{Driver: "syslog"}}, 125, `unknown log driver "syslog"`},
		{"true", monitor.Config{Dir: "/nowhere"}, 125, "opening the monitor's lock"},
	} {
		conn, cmd, dir := start(t, c.cfg, c.command)
		kind, payload := receive(t, conn)
		var f monitor.Failure
		if err := json.Unmarshal(payload, &f); kind != monitor.Failed || err != nil || f.Code != c.code || !strings.Contains(f.Message, c.message) {
			t.Errorf("%s: %q %s", c.command, kind, payload)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: the monitor ends as if all were well", c.command)
		}
		if _, err := os.Stat(filepath.Join(dir, monitor.InitFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the container passes for started: %v", c.command, err)
		}
	}
}

// TestOneMonitor: the lock of the first keeps a second away.
func TestOneMonitor(t *testing.T) {
	conn, _, dir := start(t, monitor.Config{Attached: true}, "sleep", "600")
	init := started(t, conn)
	second, _, _ := start(t, monitor.Config{Dir: dir}, "true")
	if kind, payload := receive(t, second); kind != monitor.Failed || !strings.Contains(string(payload), "another monitor") {
		t.Errorf("the second says %q %s", kind, payload)
	}
	if err := unix.Kill(init.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, _, exit := untilExit(t, conn); exit.Code != 137 {
		t.Errorf("the first ended with %+v", exit)
	}
}

// TestBadClient: what a client sends that is no message of the protocol does not disturb the container or others.
func TestBadClient(t *testing.T) {
	conn, _, dir := start(t, monitor.Config{Attached: true, Stdin: true}, "cat")
	started(t, conn)
	bad, err := monitor.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	for kind := range 256 {
		if byte(kind) == monitor.Stdin || byte(kind) == monitor.StdinEOF {
			continue
		}
		if err := bad.Send(byte(kind), []byte(`{"Width":"no`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := bad.Send(monitor.Stdin, []byte("after all\n")); err != nil {
		t.Fatal(err)
	}
	if kind, got := receive(t, conn); kind != monitor.Stdout || string(got) != "after all\n" {
		t.Errorf("heard %q %q", kind, got)
	}
	if err := conn.Send(monitor.StdinEOF, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, exit := untilExit(t, conn); exit.Code != 0 {
		t.Errorf("ended with %+v", exit)
	}
}

func TestOOMKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.events")
	s := &server{cfg: monitor.Config{OOMFile: file}}
	if s.oomKilled() || (&server{}).oomKilled() {
		t.Error("without a file nothing tells of it")
	}
	for text, want := range map[string]bool{
		"": false, "low 0\noom 1\noom_kill 0\n": false, "oom 1\noom_kill 2\noom_group_kill 0\n": true, "oom_kill x\n": false,
		"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n": true, // cgroup v1
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.oomKilled(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestStarterGoes: the starter goes away before it has configured the monitor, which ends, with the init it may have.
func TestStarterGoes(t *testing.T) {
	conn, cmd := process(t)
	conn.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the monitor: %v", err)
	}
	conn, cmd = process(t)
	if err := conn.SendJSON(monitor.Prelaunch, monitor.Embryo{}); err != nil {
		t.Fatal(err)
	}
	var children []string
	for len(children) == 0 { // until the init is there
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		if err != nil || len(tasks) == 0 {
			t.Skip("needs /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)")
		}
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			children = append(children, strings.Fields(string(b))...)
		}
		time.Sleep(time.Millisecond)
	}
	conn.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the monitor: %v", err)
	}
	if _, err := os.Stat("/proc/" + children[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the init is left: %v", err)
	}
}

// TestConfiguration: what is no configuration ends the monitor with a word of why.
func TestConfiguration(t *testing.T) {
	file := func(text string) *os.File {
		f, err := os.CreateTemp(t.TempDir(), "config")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, c := range map[string]struct {
		files []*os.File
		want  string
	}{
		"none": {nil, "it was not sent"}, "no json": {[]*os.File{file("{")}, "reading the monitor's configuration"},
		"no root": {[]*os.File{file(`{"HasRoot":true}`)}, "the root is missing"},
	} {
		conn, cmd := process(t)
		if err := conn.SendFiles(monitor.Configure, nil, c.files...); err != nil {
			t.Fatal(err)
		}
		if kind, payload := receive(t, conn); kind != monitor.Failed || !strings.Contains(string(payload), c.want) {
			t.Errorf("%s: %q %s", name, kind, payload)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: the monitor ends as if all were well", name)
		}
	}
}

// TestClientThatLagsBehind: the log and the exit status wait for no client, and no client misses anything.
func TestClientThatLagsBehind(t *testing.T) {
	conn, _, dir := start(t, monitor.Config{Attached: true}, "sh", "-c", "seq 1 60000; seq 1 5000 >&2; exit 5")
	started(t, conn)
	var exit monitor.Exit
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(filepath.Join(dir, monitor.ExitFile)); err == nil && json.Unmarshal(b, &exit) == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the exit status waits for the client")
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || strings.Count(string(log), "\n") < 65000 {
		t.Errorf("the log has %d records (%v)", strings.Count(string(log), "\n"), err)
	}
	out, errs, heard := untilExit(t, conn)
	if strings.Count(out, "\n") != 60000 || !strings.HasSuffix(out, "\n60000\n") || strings.Count(errs, "\n") != 5000 || heard.Code != 5 || exit.Code != 5 {
		t.Errorf("the client got %d and %d bytes and %+v", len(out), len(errs), heard)
	}
}
