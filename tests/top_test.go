package tests

import (
	"regexp"
	"strings"
	"testing"
)

// topCommands are the last columns of top's lines.
func topCommands(text string) string {
	var out []string
	gap := regexp.MustCompile(` {2,}`)
	for _, l := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		f := gap.Split(strings.TrimSpace(l), -1)
		out = append(out, f[0]+":"+f[len(f)-1])
	}
	return strings.Join(out, ",")
}

func TestTop(t *testing.T) {
	for _, flags := range [][]string{nil, {"--pid=host"}} {
		line := append([]string{"-u", "alice"}, flags...)
		name := start(t, env, append(line, "--", "sh", "-c", "sleep 1001 & exec sleep 1002")...)
		env.Proa("exec", "-d", "-u", "0", name, "sleep", "1003").OK(t)
		other := start(t, env, "sleep", "1004")
		got := env.Proa("top", name).OK(t).Stdout
		equal(t, "titles", strings.Join(strings.Fields(got)[:8], " "), "UID PID PPID C STIME TTY TIME CMD")
		for _, want := range []string{"alice:sleep 1001", "alice:sleep 1002", "root:sleep 1003"} {
			if !strings.Contains(topCommands(got), want) {
				t.Errorf("top %v: no %q in\n%s", flags, want, got)
			}
		}
		if n := strings.Count(got, "\n"); n != 4 || strings.Contains(got, "1004") {
			t.Errorf("top %v shows what is not in the container, as %s is not:\n%s", flags, other, got)
		}
		ps := env.Proa("top", name, "-o", "pid,args").OK(t).Stdout
		if strings.Count(ps, "\n") != 4 || !strings.Contains(ps, "sleep 1003") || strings.Contains(ps, "1004") {
			t.Errorf("top %v -o pid,args:\n%s", flags, ps)
		}
		refused(t, env.Proa("top", name, "-o", "comm"), 1, "PID", "-o pid,comm")
		refused(t, env.Proa("top", name, "--no-such-option-of-ps"), 1, "ps --no-such-option-of-ps")
	}
}

func TestTopRefusals(t *testing.T) {
	refused(t, env.Proa("top"), 125, "container")
	refused(t, env.Proa("top", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("top", "-x", "c"), 125, `"-x"`)
	name := stopped(t, env)
	refused(t, env.Proa("top", name), 1, name, "not running")
}

func TestPort(t *testing.T) {
	name := stopped(t, env)
	equal(t, "ports of a container without any", env.Proa("port", name).OK(t).Stdout, "")
	refused(t, env.Proa("port", name, "80/tcp"), 1, name, "80/tcp", "not published")
	refused(t, env.Proa("port", name, "http"), 125, "http")
	refused(t, env.Proa("port", name, "80/icmp"), 125, "icmp")
	refused(t, env.Proa("port"), 125, "container")
	refused(t, env.Proa("port", "no-such-container"), 1, "no-such-container")
}
