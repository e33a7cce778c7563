package tests

import (
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func healthBecomes(t testing.TB, name, status string) {
	t.Helper()
	harness.Eventually(t, name+" is "+status, func() bool { return inspect(t, name, "{{.State.Health.Status}}") == status })
}

func TestHealthCommand(t *testing.T) {
	for _, runtime := range []string{"proa", "crun", "runc"} {
		t.Run(runtime, func(t *testing.T) {
			if runtime != "proa" {
				harness.Requires(t, runtime)
			}
			name := start(t, env, "--runtime", runtime, "-u", "7", "-e", "FILE=/tmp/ok", "--tmpfs", "/tmp:mode=1777", "--health-cmd", `echo "uid $(id -u)"; test -e $FILE`,
				"--health-interval", "50ms", "--health-retries", "2", "--", "sleep", "1000")
			healthBecomes(t, name, "unhealthy")
			if out := env.Proa("ps", "--filter", "health=unhealthy", "--filter", "name="+name).OK(t).Stdout; !strings.Contains(out, "(unhealthy)") {
				t.Errorf("ps says %s", out)
			}
			equal(t, "the output of a check", inspect(t, name, "{{(index .State.Health.Log 0).Output}}"), "uid 7")
			equal(t, "healthcheck run says what is wrong", env.Proa("healthcheck", "run", name).Want(t, 1).Stderr, "uid 7\n")
			env.Proa("exec", name, "touch", "/tmp/ok").OK(t)
			env.Proa("healthcheck", "run", name).OK(t)
			healthBecomes(t, name, "healthy")
			equal(t, "the failing streak", inspect(t, name, "{{.State.Health.FailingStreak}}"), "0")
			env.Proa("stop", "-t", "0", name).OK(t)
			equal(t, "health after the end", inspect(t, name, "{{.State.Health.Status}}"), "healthy")
			refused(t, env.Proa("healthcheck", "run", name), 125, name, "not running")
		})
	}
}

// TestHealthNamespaces: the monitor, which lives on, stays out of the container's namespaces, and every check is in them.
func TestHealthNamespaces(t *testing.T) {
	links := `ls -l /proc/self/ns /proc/1/ns | sed -n 's/.* \([a-z]*\) -> /\1 /p' | grep -v _for_ | sort | uniq -c | grep -v '^ *2 '`
	name := start(t, env, "--health-cmd", "! "+links, "--health-interval", "20ms", "--health-retries", "1", "--", "sleep", "1000")
	healthBecomes(t, name, "healthy")
	for range 40 {
		if r := env.Proa("healthcheck", "run", name).Run(t); r.Code != 0 {
			t.Fatalf("a check ran in other namespaces: %s", r.Stderr)
		}
	}
	equal(t, "the state", inspect(t, name, "{{.State.Health.Status}}"), "healthy")
}

func TestHealthTimeout(t *testing.T) {
	name := start(t, env, "--health-cmd", `["sleep", "1000"]`, "--health-timeout", "100ms", "--health-interval", "50ms", "--health-retries", "1", "--", "sleep", "1000")
	healthBecomes(t, name, "unhealthy")
	equal(t, "a check that takes too long", inspect(t, name, "{{(index .State.Health.Log 0).ExitCode}}"), "-1")
	harness.Eventually(t, "it is killed", func() bool {
		return strings.Count(env.Proa("exec", name, "ps").OK(t).Stdout, "sleep 1000") <= 2
	})
}

// TestHealthStartPeriod: failures do not count before the first success.
func TestHealthStartPeriod(t *testing.T) {
	name := start(t, env, "--health-cmd", "test -e /ok", "--health-start-period", "1h", "--health-start-interval", "50ms", "--health-interval", "50ms",
		"--health-retries", "1", "--", "sleep", "1000")
	harness.Eventually(t, "three checks", func() bool { return inspect(t, name, "{{len .State.Health.Log}}") == "3" })
	equal(t, "the state", inspect(t, name, "{{.State.Health.Status}}"), "starting")
	env.Proa("exec", name, "touch", "/ok").OK(t)
	healthBecomes(t, name, "healthy")
	env.Proa("exec", name, "rm", "/ok").OK(t)
	healthBecomes(t, name, "unhealthy")
}

// TestHealthConnections: neither needs a program in the container.
func TestHealthConnections(t *testing.T) {
	web := start(t, env, "--health-http", "http://localhost:8080/page", "--health-interval", "50ms", "--health-retries", "1", "--",
		"sh", "-c", "echo words > /page; exec httpd -f -p 127.0.0.1:8080 -h /")
	healthBecomes(t, web, "healthy")
	if out := inspect(t, web, "{{range .State.Health.Log}}{{.Output}}\n{{end}}"); !strings.Contains(out, "HTTP/1.1 200 OK\nwords") {
		t.Errorf("the answer is %q", out)
	}
	env.Proa("exec", web, "rm", "/page").OK(t)
	healthBecomes(t, web, "unhealthy")
	if r := env.Proa("healthcheck", "run", web).Want(t, 1); !strings.Contains(r.Stderr, "404") {
		t.Errorf("a page that is not there: %s", r.Stderr)
	}
	tcp := start(t, env, "--health-tcp", "8081", "--health-interval", "50ms", "--health-retries", "1", "--", "sh", "-c", "httpd -p 127.0.0.1:8081; exec sleep 1000")
	healthBecomes(t, tcp, "healthy")
	env.Proa("exec", tcp, "killall", "httpd").OK(t)
	healthBecomes(t, tcp, "unhealthy")
}

func TestHealthOnFailure(t *testing.T) {
	check := []string{"--health-cmd", "test -e /healthy", "--health-interval", "50ms", "--health-retries", "1"}
	loop := "trap 'exit 5' TERM; echo run; while :; do sleep 0.05; done"
	begin := func(flags ...string) string {
		return start(t, env, append(append(flags, check...), "--", "sh", "-c", loop)...)
	}
	name := begin("--health-on-failure", "kill")
	ends(t, name)
	equal(t, "kill", exitCode(t, name), "137")
	name = begin("--health-on-failure", "stop", "--restart", "always")
	ends(t, name)
	equal(t, "stop, which no policy undoes", exitCode(t, name), "5")
	name = begin("--health-on-failure", "restart")
	harness.Eventually(t, "two restarts", func() bool { return runs(t, name) >= 3 })
	env.Proa("stop", name).OK(t)
	ends(t, name)
	name = begin("--health-on-failure", "kill", "--restart", "on-failure:1")
	ends(t, name)
	equal(t, "kill, which the policy takes for a failure", inspect(t, name, "{{.RestartCount}}"), "1")
}

func TestHealthOfImage(t *testing.T) {
	e := withImage(t, env)
	img := baseImage(t)
	img.Config.Healthcheck = map[string]any{"Test": []string{"CMD-SHELL", "test -e /ok"}, "Interval": 50_000_000, "Retries": 1}
	e.Proa("load", "-i", archive(t, e, "health.tar", img.DockerArchive("localhost/health:1"))).OK(t)
	begin := func(flags ...string) string {
		name := containerName(t)
		removeLater(t, e, name)
		e.Proa(append(append([]string{"run", "-d", "--name", name}, flags...), "localhost/health:1", "sleep", "1000")...).OK(t)
		return name
	}
	healthBecomes(t, begin(), "unhealthy")
	healthBecomes(t, begin("--health-cmd", "true"), "healthy")
	name := begin("--no-healthcheck")
	equal(t, "no check", inspect(t, name, "{{.State.Health}}"), "<nil>")
	refused(t, env.Proa("healthcheck", "run", name), 125, name, "no health check")
}

// TestHealthUpdate: a running container's monitor makes the checks that update asks for, also one that was started
// without any.
func TestHealthUpdate(t *testing.T) {
	for _, runtime := range []string{"proa", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			if runtime != "proa" {
				harness.Requires(t, runtime)
			}
			name := start(t, env, "--runtime", runtime, "--", "sleep", "1000")
			equal(t, "no check", inspect(t, name, "{{.State.Health}}"), "<nil>")
			refused(t, env.Proa("update", "--health-interval", "50ms", name), 1, name, "no health check")
			equal(t, "update", env.Proa("update", "--health-cmd", "echo one; test -e /ok", "--health-interval", "50ms", "--health-retries", "1", name).OK(t).Out(), name)
			healthBecomes(t, name, "unhealthy")
			env.Proa("update", "--health-cmd", "echo two", name).OK(t)
			healthBecomes(t, name, "healthy")
			equal(t, "the interval stays", inspect(t, name, "{{.Config.Healthcheck.Interval}}"), "50ms")
			if log := inspect(t, name, "{{range .State.Health.Log}}{{.Output}} {{end}}"); strings.Contains(log, "one") {
				t.Errorf("the log of the new command has checks of the old one: %q", log)
			}
			env.Proa("update", "--health-interval", "1h", name).OK(t)
			equal(t, "another interval leaves the state", inspect(t, name, "{{.State.Health.Status}}"), "healthy")
			env.Proa("update", "--no-healthcheck", name).OK(t)
			equal(t, "no check any more", inspect(t, name, "{{.State.Health}}"), "<nil>")
			refused(t, env.Proa("healthcheck", "run", name), 125, name, "no health check")
			env.Proa("update", "--health-cmd", "true", name).OK(t)
			env.Proa("healthcheck", "run", name).OK(t)
			equal(t, "the check after a restart", func() string {
				env.Proa("restart", "-t", "0", name).OK(t)
				env.Proa("healthcheck", "run", name).OK(t)
				return inspect(t, name, "{{.State.Health.Status}}")
			}(), "healthy")
		})
	}
}

// TestHealthUpdateAction: an action holds for a container that is unhealthy already, and restart for one whose monitor
// was not made for it.
func TestHealthUpdateAction(t *testing.T) {
	check := []string{"--health-cmd", "false", "--health-interval", "50ms", "--health-retries", "1"}
	for _, tt := range []struct {
		action string
		done   func(name string) bool
	}{
		{"kill", func(name string) bool {
			return inspect(t, name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
		}},
		{"stop", func(name string) bool { return inspect(t, name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 5" }},
		{"restart", func(name string) bool { return runs(t, name) >= 2 }},
	} {
		name := start(t, env, append(check, "--", "sh", "-c", "trap 'exit 5' TERM; echo run; while :; do sleep 0.05; done")...)
		healthBecomes(t, name, "unhealthy")
		env.Proa("update", "--health-on-failure", tt.action, name).OK(t)
		harness.Eventually(t, "update --health-on-failure "+tt.action, func() bool { return tt.done(name) })
	}
}

// TestHealthUpdateHanging: a check that hangs holds no update up, and its result counts no more.
func TestHealthUpdateHanging(t *testing.T) {
	name := start(t, env, "--health-cmd", "touch /began; sleep 1000; false", "--health-timeout", "1h", "--health-interval", "20ms", "--health-retries", "1", "--", "sleep", "1000")
	harness.Eventually(t, "the check began", func() bool { return env.Proa("exec", name, "test", "-e", "/began").Run(t).Code == 0 })
	env.Proa("update", "--health-cmd", "true", name).OK(t)
	healthBecomes(t, name, "healthy")
	env.Proa("exec", name, "killall", "sleep").Run(t)
	healthBecomes(t, name, "healthy")
}

func TestHealthRefused(t *testing.T) {
	withImage(t, env)
	for _, c := range [][]string{
		{"--health-cmd", "true", "--no-healthcheck"}, {"--health-cmd", ""}, {"--health-cmd", "true", "--health-tcp", "80"},
		{"--health-tcp", "0"}, {"--health-tcp", "host.example:80"}, {"--health-http", "https://localhost/"}, {"--health-interval", "1"},
		{"--health-timeout", "-1s"}, {"--health-retries", "-1"}, {"--health-on-failure", "explode"}, {"--health-interval", "1s"},
	} {
		refused(t, env.Proa(append(append([]string{"run", "-d"}, c...), image, "true")...), 125, "health")
	}
	refused(t, env.Proa("healthcheck", "run"), 125, "container")
	refused(t, env.Proa("healthcheck", "run", "no-such-container"), 125, "no-such-container")
}
