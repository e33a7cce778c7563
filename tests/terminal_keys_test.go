package tests

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// sane fails the test when the command does not end by itself with code, or leaves the terminal changed.
func sane(t *testing.T, what string, term *harness.Terminal, code int) {
	t.Helper()
	ended := make(chan int, 1)
	go func() { ended <- term.Wait(t) }()
	select {
	case got := <-ended:
		if code >= 0 && got != code {
			t.Errorf("%s: exit code %d, want %d; the terminal shows %q", what, got, code, term.Screen())
		}
	case <-time.After(20 * time.Second):
		_ = term.Cmd.Process.Kill()
		t.Fatalf("%s: it hangs; the terminal shows %q", what, term.Screen())
	}
	if after := term.Settings(t); after != term.Before {
		t.Errorf("%s: the terminal's settings were not restored: %+v, want %+v", what, after, term.Before)
	}
}

func TestTerminalKeysGoToTheContainer(t *testing.T) {
	term := run(t, "-it", "--", "sh").OnTerminal(t, 24, 80)
	term.Expect(t, "# ")
	for i, key := range []string{"\x03", "\x1c"} { // Ctrl-C, Ctrl-\
		term.Type(t, fmt.Sprintf("sh -c 'echo go=$((%d+20)); exec sleep 1000'\n", i))
		term.Expect(t, fmt.Sprintf("go=%d", i+20))
		term.Type(t, key)
		term.Type(t, fmt.Sprintf("echo st%d=$(($?+1000))\n", i))
		term.Expect(t, fmt.Sprintf("st%d=%d", i, []int{1130, 1131}[i]))
	}
	term.Type(t, "sh -c 'echo go=$((2+20)); exec sleep 1000'\n")
	term.Expect(t, "go=22")
	term.Type(t, "\x1a") // Ctrl-Z
	term.Expect(t, "Stopped")
	term.Type(t, "kill -9 %1; exit 5\n")
	term.Type(t, "exit 5\n")
	sane(t, "exit", term, 5)
}

// TestTerminalWithoutTTY: without -t the keys are the terminal's own: they signal proa, which hands signals on.
func TestTerminalWithoutTTY(t *testing.T) {
	for key, code := range map[string]int{"\x03": 42, "\x1c": 43} {
		term := run(t, "-i", "--", "sh", "-c", "trap 'exit 42' INT; trap 'exit 43' QUIT; echo ready; while :; do sleep 0.05; done").OnTerminal(t, 24, 80)
		term.Expect(t, "ready")
		term.Type(t, key)
		sane(t, "run -i "+strconv.Quote(key), term, code)
	}
	// Ctrl-Z stops proa alone, as its shell's job, and it goes on with fg.
	withImage(t, env)
	term := env.Command("sh", "-i").OnTerminal(t, 24, 80)
	term.Type(t, "proa run --rm --network=none "+image+" sh -c 'echo up=$((40+1)); while ! test -e /go; do sleep 0.05; done; echo gone; exit 3'; echo st=$(($?+1000))\n")
	term.Expect(t, "up=41")
	term.Type(t, "\x1a")
	term.Expect(t, "Stopped")
	env.Proa("exec", env.Proa("ps", "-lq").OK(t).Out(), "touch", "/go").OK(t)
	term.Type(t, "fg; echo st=$(($?+1000)); exit\n")
	term.Expect(t, "st=1003")
	sane(t, "the shell", term, 0)
}

func TestTerminalDetachKeys(t *testing.T) {
	for keys, typed := range map[string]string{"": "\x10\x11", "ctrl-x,y": "\x18y", "ctrl-@": "\x00", "a": "a", "ctrl-\\,ctrl-]": "\x1c\x1d"} {
		name := containerName(t)
		args := []string{"run", "-it", "--network=none", "--name", name}
		if keys != "" {
			args = append(args, "--detach-keys", keys)
		}
		removeLater(t, env, name)
		term := env.Proa(append(args, image, "sh", "-c", "echo ready; cat")...).OnTerminal(t, 24, 80)
		term.Expect(t, "ready")
		term.Type(t, typed)
		sane(t, "--detach-keys "+keys, term, 0)
		equal(t, "state after "+keys, env.Proa("inspect", "-f", "{{.State.Status}}", name).OK(t).Out(), "running")
		env.Proa("rm", "-f", "-t", "0", name).OK(t)
	}
	for _, bad := range []string{"ctrl-", "ctrl-1", "ctrl-ab", "abc", ",", "ctrl-p,", "alt-x"} {
		for _, cmd := range [][]string{{"run", "-it", "--detach-keys", bad, image, "sh"}, {"attach", "--detach-keys", bad, "c"}, {"start", "-a", "--detach-keys", bad, "c"}} {
			term := withImage(t, env).Proa(cmd...).OnTerminal(t, 24, 80)
			sane(t, strings.Join(cmd, " "), term, -1)
			if code := harness.ExitCode(term.Cmd.ProcessState); code == 0 {
				t.Errorf("%v: exit code 0", cmd)
			}
			term.Expect(t, "proa: ")
		}
	}
	// What may become the keys and does not, is typed.
	term := run(t, "-it", "--detach-keys", "x,y,z", "--", "sh").OnTerminal(t, 24, 80)
	term.Expect(t, "# ")
	for _, c := range "echo a=xy$((40+2)); exit 6\n" {
		term.Type(t, string(c))
	}
	term.Expect(t, "a=xy42")
	sane(t, "a part of the keys", term, 6)
}

func TestTerminalTwoClients(t *testing.T) {
	name := start(t, env, "-it", "--", "sh")
	attach := func() *harness.Terminal { return env.Proa("attach", name).OnTerminal(t, 24, 80) }
	a, b := attach(), attach()
	for _, term := range []*harness.Terminal{a, b} { // who hears something is attached
		term.Type(t, "\n")
		term.Expect(t, "# ")
	}
	a.Type(t, "echo one=$((40+1))\n")
	a.Expect(t, "one=41")
	b.Expect(t, "one=41")
	b.Type(t, "echo two=$((40+2))\n")
	a.Expect(t, "two=42")
	a.Type(t, "\x10\x11")
	sane(t, "the first, detached", a, 0)
	b.Type(t, "echo three=$((40+3))\n")
	b.Expect(t, "three=43")
	// One that has stopped does not keep another from coming.
	if err := b.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := attach()
	c.Type(t, "echo four=$((40+4)); exit 9\n")
	c.Expect(t, "four=44")
	sane(t, "the third", c, 9)
	if err := b.Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	sane(t, "the second", b, 9)
}

func TestAttachWithAndWithout(t *testing.T) {
	for _, flags := range []string{"-it", "-t", "-i", ""} {
		args := []string{"--", "sh", "-c", "while ! test -e /go; do echo up; sleep 0.05; done; echo out; test -t 0 && echo tty; exit 4"}
		if flags != "" {
			args = append([]string{flags}, args...)
		}
		name := start(t, env, args...)
		term := env.Proa("attach", name).OnTerminal(t, 24, 80)
		x := env.Proa("attach", name).Exec(context.Background()) // without a terminal, and standard input closed
		var out buffer
		x.Stdout = &out
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		term.Expect(t, "up")
		harness.Eventually(t, "the second client hears the container", func() bool { return strings.Contains(out.String(), "up") })
		env.Proa("exec", name, "touch", "/go").OK(t)
		term.Expect(t, "out")
		sane(t, "attach to "+flags, term, 4)
		_ = x.Wait()
		if code := harness.ExitCode(x.ProcessState); code != 4 || !strings.Contains(out.String(), "out") || strings.Contains(out.String(), "tty") != strings.Contains(flags, "t") {
			t.Errorf("attach to %q without a terminal: exit code %d, %q", flags, code, out.String())
		}
		env.Proa("rm", "-f", name).OK(t)
	}
}

func TestTerminalWhenThingsDie(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	x := env.Proa("exec", "-it", name, "sh").OnTerminal(t, 24, 80)
	x.Expect(t, "# ")
	env.Proa("rm", "-f", "-t", "0", name).OK(t)
	sane(t, "exec -it, the container was removed", x, 137)

	other := containerName(t)
	removeLater(t, env, other)
	r := env.Proa("run", "-it", "--network=none", "--name", other, image, "sh").OnTerminal(t, 24, 80)
	r.Expect(t, "# ")
	pid, err := strconv.Atoi(env.Proa("inspect", "-f", "{{.State.MonitorPid}}", other).OK(t).Out())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sane(t, "run -it, the monitor was killed", r, 125)
	r.Expect(t, "monitor was killed")

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		name := start(t, env, "sleep", "1000")
		x := env.Proa("exec", "-it", name, "sh", "-c", "echo up=$((40+2)); exec sleep 1000").OnTerminal(t, 24, 80)
		x.Expect(t, "up=42")
		if err := x.Cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		sane(t, "exec -it, "+sig.String(), x, 128+int(sig))
		env.Proa("rm", "-f", "-t", "0", name).OK(t)
	}
}

// TestTerminalHangsUp: the window is closed.
func TestTerminalHangsUp(t *testing.T) {
	for _, args := range [][]string{{"run", "-it"}, {"run", "-i"}, {"run"}} {
		name := containerName(t)
		removeLater(t, env, name)
		term := withImage(t, env).Proa(append(args, "--network=none", "--name", name, image, "sh", "-c", "echo ready; exec sleep 1000")...).OnTerminal(t, 24, 80)
		term.Expect(t, "ready")
		term.Slave.Close()
		term.Master.Close()
		ended := make(chan struct{})
		go func() { _ = term.Cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("%v: proa outlives its terminal", args)
		}
		equal(t, "the container", env.Proa("inspect", "-f", "{{.State.Status}}", name).OK(t).Out(), "running")
		env.Proa("rm", "-f", "-t", "0", name).Run(t)
	}
}

func TestStreamsThatAreClosed(t *testing.T) {
	for script, want := range map[string]string{
		"proa run --rm --network=none -i IMAGE cat <&-":                                    "0",
		"proa run --rm --network=none IMAGE sh -c 'exit 3' <&- >&- 2>&-":                   "3",
		"proa run --rm --network=none IMAGE sh -c 'echo x; exit 3' >&-":                    "125 3",
		"proa run --rm --network=none -i IMAGE sh -c 'cat; exit 4' </dev/null":             "4",
		"yes | proa run --rm --network=none -i IMAGE true":                                 "0",
		"yes | proa run --rm --network=none -i IMAGE head -n 1 >/dev/null":                 "0",
		"proa run --rm --network=none IMAGE yes | head -n 1 >/dev/null":                    "0",
		"proa run --rm --network=none IMAGE yes | (sleep 0.5; head -c 1000000) >/dev/null": "0",
	} {
		c := withImage(t, env).Command("sh", "-c", strings.ReplaceAll(script, "IMAGE", image)+"; echo $? >&3")
		c.Args[2] = "exec 3>$HOME/status; " + c.Args[2]
		c.Run(t)
		b := env.Command("cat", env.Home+"/status").OK(t).Out()
		if !strings.Contains(" "+want+" ", " "+b+" ") {
			t.Errorf("%s: exit code %s, want %s", script, b, want)
		}
	}
	harness.Eventually(t, "what ran with a reader that went away ends or can be ended", func() bool {
		for _, id := range strings.Fields(env.Proa("ps", "-q", "--filter", "ancestor="+image).Run(t).Stdout) {
			env.Proa("kill", id).Run(t)
		}
		return env.Proa("ps", "-q").OK(t).Stdout == ""
	})
}

func TestTerminalResizeOfExecAndAttach(t *testing.T) {
	name := start(t, env, "-it", "--", "sh")
	for _, args := range [][]string{{"attach", name}, {"exec", "-it", name, "sh"}} {
		term := env.Proa(args...).OnTerminal(t, 31, 91)
		term.Type(t, "while test \"$(stty size)\" != '31 91'; do sleep 0.05; done; echo old=$((40+1))\n")
		term.Expect(t, "old=41")
		term.Resize(t, 41, 121)
		term.Type(t, "while test \"$(stty size)\" != '41 121'; do sleep 0.05; done; echo new=$((40+2))\n")
		term.Expect(t, "new=42")
		if args[0] == "attach" {
			term.Type(t, "\x10\x11")
			sane(t, "attach", term, 0)
		} else {
			term.Type(t, "exit 8\n")
			sane(t, "exec", term, 8)
		}
	}
}
