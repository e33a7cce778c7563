package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/internal/netlab"
	"golang.org/x/sys/unix"
)

// eventually waits for what another process does.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// children are the processes that this one has.
func children(t *testing.T) []int {
	t.Helper()
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for _, f := range strings.Fields(string(b)) {
			pid, _ := strconv.Atoi(f)
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestRestart(t *testing.T) {
	outer(t, at(netlab.Far4, 8000))
	for _, name := range programs(t) {
		t.Run(name, func(t *testing.T) {
			ns := netlab.New(t)
			h := start(t, ns, Options{Use: name})
			for round := 1; round <= 2; round++ {
				for _, pid := range children(t) {
					syscall.Kill(pid, syscall.SIGKILL)
				}
				eventually(t, "the uplink is started again", func() bool {
					info, err := h.Info()
					return err == nil && info.Restarts == round
				})
				c, err := dial(ns, "tcp", at(netlab.Far4, 8000))
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
			}
			h.Close()
			if left := children(t); len(left) > 0 {
				t.Errorf("after Close there are processes %v", left)
			}
		})
	}
}

// What reads containers' packets has no rights over their namespaces.
func TestConfined(t *testing.T) {
	ns := netlab.New(t)
	start(t, ns, Options{Use: Embedded})
	for _, pid := range children(t) {
		eventually(t, "the capabilities are given up", func() bool {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			s := string(status)
			return strings.Contains(s, "CapPrm:\t0000000000000000") && strings.Contains(s, "CapEff:\t0000000000000000") && strings.Contains(s, "NoNewPrivs:\t1")
		})
	}
}

// An uplink ends with the process that holds it, however that ends.
func TestOrphan(t *testing.T) {
	for _, name := range programs(t) {
		t.Run(name, func(t *testing.T) {
			ns := netlab.New(t)
			cmd := exec.Command("/proc/self/exe", holdArg, name, ns.Path)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := 0
			if _, err := fmt.Fscan(out, &pid); err != nil {
				t.Fatal(err)
			}
			uplink, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(uplink)
			cmd.Process.Kill()
			cmd.Wait()
			eventually(t, "the uplink ends", func() bool {
				return errors.Is(unix.PidfdSendSignal(uplink, 0, nil, 0), unix.ESRCH)
			})
		})
	}
}

// hold is a process that holds an uplink and tells its process.
func hold(name, path string) error {
	runtime.LockOSThread()
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		f, err := os.Open(path)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		for job := range jobs {
			if err == nil {
				job()
			}
		}
	}()
	in := func(f func() error) error {
		done := make(chan error)
		jobs <- func() { done <- f() }
		return <-done
	}
	h := Start(Namespace{In: in, Path: path}, Options{Use: name, Serve: []string{"/proc/self/exe", serveArg}}, slog.New(slog.DiscardHandler))
	if err := h.Wait(context.Background()); err != nil {
		return err
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		fmt.Print(string(b))
	}
	fmt.Println()
	select {}
}

func TestChoice(t *testing.T) {
	log := slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
	ns := netlab.New(t)
	try := func(o Options) (Info, error) {
		h := Start(Namespace{In: ns.In, Path: ns.Path}, o, log)
		defer h.Close()
		h.Wait(context.Background())
		return h.Info()
	}
	serve := []string{"/proc/self/exe", serveArg}
	if _, err := try(Options{Use: None}); !errors.Is(err, ErrNone) {
		t.Errorf("no uplink was asked for: %v", err)
	}
	if _, err := try(Options{Use: "carrier-pigeon"}); err == nil || !strings.Contains(err.Error(), "carrier-pigeon") || !strings.Contains(err.Error(), Pasta) {
		t.Errorf("an unknown uplink: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	info, err := try(Options{Serve: serve})
	if err != nil || info.Name != Embedded || len(info.Refused) != 1 || !strings.Contains(info.Refused[0], "passt") {
		t.Errorf("with nothing installed: %+v, %v", info, err)
	}
	if _, err := try(Options{Use: Slirp, Serve: serve}); err == nil || !strings.Contains(err.Error(), "slirp4netns is not installed") {
		t.Errorf("an uplink that is asked for and not installed: %v", err)
	}
	// In this process's mount namespace there is no device from here on, as in a container.
	if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount("/dev/net", unix.MNT_DETACH)
	if _, err := try(Options{Serve: serve}); err == nil || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("without /dev/net/tun: %v", err)
	}
}

// A program that ends at once is told of, and the next one serves.
func TestBrokenProgram(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncase $1 in --help) echo --map-host-loopback;; --version) ;; *) echo something is wrong >&2; exit 1;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "pasta"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ns := netlab.New(t)
	h := start(t, ns, Options{})
	info, _ := h.Info()
	if info.Name == Pasta || len(info.Refused) == 0 || !strings.Contains(info.Refused[0], "something is wrong") {
		t.Errorf("the uplink is %+v", info)
	}
}

func TestPing(t *testing.T) {
	ns := netlab.New(t)
	start(t, ns, Options{Use: Embedded})
	// The lab's host lets its users ping.
	for _, a := range []netip.Addr{netlab.Far4, netlab.Far6} {
		if err := ping(ns, a); err != nil {
			t.Errorf("ping %s: %v", a, err)
		}
	}
	if err := ping(ns, netip.MustParseAddr("198.51.100.99")); err == nil {
		t.Error("an address that nobody has answers")
	}
}
