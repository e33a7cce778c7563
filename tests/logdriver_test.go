package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// bytesOut prints lines, bytes that are no text, a line longer than any record, and a line without an end.
const bytesOut = `echo one; printf 'a\000\377\376\200b\n\r\n\t\033[1m"\\\n'; head -c 70000 /dev/zero | tr '\0' x; echo; head -c 100000 /dev/zero; printf end`

func TestLogDriversKeepBytes(t *testing.T) {
	want := env.Command("sh", "-c", bytesOut).OK(t).Stdout
	for _, driver := range []string{"k8s-file", "json-file"} {
		name := start(t, env, "--log-driver", driver, "--", "sh", "-c", bytesOut)
		env.Proa("wait", name).OK(t)
		if got := env.Proa("logs", name).OK(t).Stdout; got != want {
			t.Errorf("%s gives %d bytes back, want the %d that were written", driver, len(got), len(want))
		}
		env.Proa("rm", name).OK(t)
	}
}

func TestLogDriverNone(t *testing.T) {
	name := start(t, env, "--log-driver", "none", "--", "echo", "x")
	env.Proa("wait", name).OK(t)
	refused(t, env.Proa("logs", name), 1, name, "none", "--log-driver")
	equal(t, "run", run(t, "--log-driver=none", "--", "echo", "x").OK(t).Stdout, "x\n")
}

func TestLogDriverPassthrough(t *testing.T) {
	c := run(t, "--log-driver=passthrough", "-i", "--", "sh", "-c", "cat; echo err >&2")
	c.Stdin = strings.NewReader("typed\n")
	r := c.OK(t)
	equal(t, "stdout", r.Stdout, "typed\n")
	equal(t, "stderr", r.Stderr, "err\n")
	name := containerName(t)
	removeLater(t, env, name)
	env.Command("sh", "-c", "proa run -d --network=none --log-driver=passthrough --name "+name+" "+image+" sleep 1000 >/dev/null 2>&1 </dev/null").OK(t)
	refused(t, env.Proa("attach", name), ownError, name, "passthrough")
	refused(t, env.Proa("logs", name), 1, name, "passthrough")
}

// TestLogNonBlocking: a log that takes nothing, here a pipe that nobody reads, does not hold the container up.
func TestLogNonBlocking(t *testing.T) {
	dir := env.TempDir(t)
	fifo := filepath.Join(dir, "log")
	env.Command("mkfifo", fifo).OK(t)
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	const total = 3_000_000
	name := start(t, env, "--log-driver=k8s-file", "--log-opt=path="+fifo, "--log-opt=mode=non-blocking", "--log-opt=max-buffer-size=256k", "--",
		"sh", "-c", "yes 0123456 | head -c "+strconv.Itoa(total)+"; touch /written; sleep 1000")
	harness.Eventually(t, "all is written", func() bool { return env.Proa("exec", name, "test", "-e", "/written").Run(t).Code == 0 })
	kept, lost, messages := 0, 0, 0
	for s := bufio.NewScanner(reader); kept+lost < total && s.Scan(); {
		text := strings.SplitN(s.Text(), " ", 4)[3]
		if n, b := 0, 0; strings.HasPrefix(text, "proa: ") {
			if _, err := fmt.Sscanf(text, "proa: %d messages, %d bytes of output, were dropped here", &n, &b); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			lost, messages = lost+b, messages+n
		} else {
			kept += len(text) + 1
		}
	}
	if kept+lost != total || lost != 8*messages || kept < 256<<10-8<<10 {
		t.Errorf("%d bytes are in the log, and %d messages of %d bytes are told to be dropped", kept, messages, lost)
	}
	equal(t, "inspect", inspect(t, name, `{{index .HostConfig.LogConfig.Config "mode"}}`), "non-blocking")
	for _, driver := range []string{"k8s-file", "json-file"} {
		other := start(t, env, "--log-driver", driver, "--log-opt=mode=non-blocking", "--", "sh", "-c", "echo one; echo two >&2; printf end")
		env.Proa("wait", other).OK(t)
		equal(t, driver+" that keeps up", sortedLines(env.Proa("logs", other).OK(t).Stdout), sortedLines("one\nend"))
	}
	// The end does not wait for a log that takes nothing more either.
	stuck := start(t, env, "--log-driver=k8s-file", "--log-opt=path="+fifo, "--log-opt=mode=non-blocking", "--", "sh", "-c", "yes | head -c 3000000; exit 3")
	equal(t, "the exit status", env.Proa("wait", stuck).OK(t).Out(), "3")
}

func TestLogDetails(t *testing.T) {
	name := start(t, env, "--log-driver=json-file", "--log-opt=tag={{.Name}}/{{.ImageName}}", "--log-opt", "labels=b,a", "--log-opt", "env-regex=^LOG_", "-l", "a=1 x",
		"-l", "b=2", "-l", "c=3", "-e", "LOG_E=5", "--", "echo", "said")
	env.Proa("wait", name).OK(t)
	equal(t, "logs", env.Proa("logs", name).OK(t).Stdout, "said\n")
	equal(t, "--details", env.Proa("logs", "--details", name).OK(t).Stdout, "LOG_E=5,a=1+x,b=2,tag="+name+"%2F"+strings.ReplaceAll(strings.ReplaceAll(image, "/", "%2F"), ":", "%3A")+" said\n")
	var config map[string]string
	if err := json.Unmarshal([]byte(env.Proa("inspect", "-f", "{{json .HostConfig.LogConfig.Config}}", name).OK(t).Stdout), &config); err != nil || config["labels"] != "b,a" || len(config) != 3 {
		t.Errorf("inspect shows %v (%v)", config, err)
	}
}

// TestLogFlood: a container that writes as fast as it can, with rotation, is not held up, costs its monitor no memory,
// and its last line is there.
func TestLogFlood(t *testing.T) {
	for _, driver := range []string{"k8s-file", "json-file"} {
		name := start(t, env, "--log-driver", driver, "--log-opt=max-size=1m", "--log-opt=max-file=3", "--", "sh", "-c",
			"yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde | head -c 64000000; echo; echo the end; exec sleep 1000")
		harness.Eventually(t, "the last line is in the log", func() bool { return env.Proa("logs", "-n1", name).OK(t).Stdout == "the end\n" })
		lines := strings.Split(env.Proa("logs", name).OK(t).Stdout, "\n")
		for i, l := range lines[1 : len(lines)-3] {
			if len(l) != 63 {
				t.Fatalf("%s: line %d is torn: %q", driver, i, l)
			}
		}
		path := env.Proa("inspect", "-f", "{{.LogPath}}", name).OK(t).Out()
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) != 3 {
			t.Errorf("%s: the log's files are %q (%v)", driver, files, err)
		}
		for _, f := range files {
			if st, err := os.Stat(f); err != nil || st.Size() > 1<<20 {
				t.Errorf("%s: %v (%v)", driver, st, err)
			}
		}
		if kib := highWater(t, name); kib > 7<<10 {
			t.Errorf("%s: the monitor took %d KiB", driver, kib)
		}
		env.Proa("rm", "-f", name).OK(t)
	}
}

// TestLogCompress: what is rotated away is compressed and read back, also by who follows meanwhile.
func TestLogCompress(t *testing.T) {
	for _, driver := range []string{"json-file", "k8s-file"} {
		name := start(t, env, "--log-driver", driver, "--log-opt=max-size=120k", "--log-opt=max-file=4", "--log-opt=compress=true", "--", "sh", "-c",
			"while ! test -e /go; do sleep 0.05; done; for part in 1 2 3 4 5 6 7 8; do seq ${part}0000 ${part}1500 | sed 's/^/line /'; sleep 0.3; done; echo the end; exec sleep 1000")
		follow := env.Proa("logs", "-f", name).Exec(context.Background())
		out := &buffer{}
		follow.Stdout = out
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		env.Proa("exec", name, "touch", "/go").OK(t)
		path := env.Proa("inspect", "-f", "{{.LogPath}}", name).OK(t).Out()
		harness.Eventually(t, "all that is rotated away is compressed", func() bool {
			files, err := filepath.Glob(path + "*")
			return err == nil && strings.Join(files, " ") == strings.Join([]string{path, path + ".1.gz", path + ".2.gz", path + ".3.gz"}, " ") &&
				strings.HasSuffix(out.String(), "the end\n")
		})
		var want strings.Builder
		for part := 1; part <= 8; part++ {
			for n := range 1501 {
				fmt.Fprintf(&want, "line %d\n", part*10000+n)
			}
		}
		want.WriteString("the end\n")
		equal(t, driver+": logs -f", out.String(), want.String())
		got := env.Proa("logs", name).OK(t).Stdout
		if len(got) < 50_000 || !strings.HasSuffix(want.String(), got) {
			t.Errorf("%s: logs has %d bytes, which are not the last of the output", driver, len(got))
		}
		tail := env.Proa("logs", "-n", "4000", name).OK(t).Stdout
		if strings.Count(tail, "\n") != 4000 || !strings.HasSuffix(got, tail) {
			t.Errorf("%s: logs -n 4000 has %d lines", driver, strings.Count(tail, "\n"))
		}
		if b := env.Command("gzip", "-dc", path+".1.gz").OK(t).Stdout; !strings.Contains(b, "line 7") {
			t.Errorf("%s: gzip reads %.80q", driver, b)
		}
		_ = follow.Process.Kill()
		_ = follow.Wait()
		env.Proa("rm", "-f", name).OK(t)
	}
}

// highWater is the most memory, in KiB, that the container's monitor had so far.
func highWater(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + env.Proa("inspect", "-f", "{{.State.MonitorPid}}", name).OK(t).Out() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLogOnFullDisk: the container goes on, and the log tells what it lacks.
func TestLogOnFullDisk(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	e := env.Fresh(t)
	withImage(t, e)
	if err := e.Reboot(); err != nil { // the pause process is to be made where the disk is
		t.Fatal(err)
	}
	dir := e.TempDir(t)
	script := fmt.Sprintf("mount -t tmpfs -o size=512k,mode=777 tmpfs %s && head -c 300000 /dev/zero >%s/filler && chmod 666 %[1]s/filler", dir, dir)
	body := fmt.Sprintf(`set -e
proa run -d --network=none --name full --log-opt path=%[1]s/log %[2]s sh -c 'echo first; yes 0123456 | head -c 3000000; touch /written; while ! test -e /go; do sleep 0.05; done; echo last' >/dev/null
n=0; until proa exec full test -e /written; do sleep 0.05; n=$((n+1)); test $n -lt 400; done
: > %[1]s/filler
proa exec full touch /go
proa wait full
proa logs full`, dir, image)
	r := e.CommandIn(script, "sh", "-c", body).OK(t)
	if !strings.HasPrefix(r.Stdout, "0\nfirst\n") || !strings.HasSuffix(r.Stdout, "\nlast\n") {
		t.Errorf("the log is %d bytes, from %.30q", len(r.Stdout), r.Stdout)
	}
	if !strings.Contains(r.Stderr, "bytes of output were lost here: no space left on device") {
		t.Errorf("the loss is not told: %.300q", r.Stderr)
	}
}

const journaldProgram = "/lib/systemd/systemd-journald"

// TestLogJournald has a journal of its own.
func TestLogJournald(t *testing.T) {
	harness.Requires(t, "root", "unshare", "journalctl", journaldProgram)
	e := env.Fresh(t)
	withImage(t, e)
	if err := e.Reboot(); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(e.TempDir(t), "pid")
	t.Cleanup(func() {
		if b, err := os.ReadFile(pid); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
	})
	script := `mount -t tmpfs tmpfs /run/systemd && mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /var/log/journal &&
		mount -t tmpfs -o mode=2755 tmpfs /var/log/journal && mkdir /var/log/journal/$(cat /etc/machine-id) && touch /run/systemd/journal/flushed &&
		printf '[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\n' > /run/systemd/journald.conf.d/test.conf &&
		{ ` + journaldProgram + ` </dev/null >/dev/null 2>&1 & } && echo $! >` + pid + ` && n=0 && until test -S /run/systemd/journal/socket; do sleep 0.05; n=$((n+1)); test $n -lt 200 || exit 9; done`
	body := fmt.Sprintf(`set -e
proa run -d --network=none --name j --log-driver=journald -l a=b --log-opt labels=a --log-opt tag=t-{{.Name}} %[1]s sh -c 'echo one; sleep 0.3; echo two >&2; sleep 0.3; printf "bin\377\001\n\nunended"' >/dev/null
proa logs -f j >$HOME/followed 2>&1 || { cat $HOME/followed; exit 8; }
proa wait j >/dev/null
cat $HOME/followed; echo; echo ==
proa logs j 2>/dev/null; echo; echo ==
proa logs j 2>&1 >/dev/null; echo ==
proa logs -n 2 --details j; echo; echo ==
journalctl -q -o export CONTAINER_NAME=j PRIORITY=3
proa rm j >/dev/null`, image)
	got := strings.Split(e.CommandIn(script, "sh", "-c", body).OK(t).Stdout, "==\n")
	if len(got) != 5 {
		t.Fatalf("%q", got)
	}
	equal(t, "logs -f", got[0], "one\ntwo\nbin\xff\x01\n\nunended\n")
	equal(t, "logs", got[1], "one\nbin\xff\x01\n\nunended\n")
	equal(t, "logs, stderr", got[2], "two\n")
	equal(t, "logs -n 2 --details", got[3], "A=b \nA=b unended\n")
	for _, field := range []string{"MESSAGE=two", "CONTAINER_TAG=t-j", "SYSLOG_IDENTIFIER=t-j", "CONTAINER_ID_FULL=", "IMAGE_NAME=" + image, "A=b"} {
		if !strings.Contains(got[4], field) {
			t.Errorf("the journal's entry lacks %s: %s", field, got[4])
		}
	}
}

func TestLogJournaldNeedsOne(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	e := env.Fresh(t)
	withImage(t, e)
	if err := e.Reboot(); err != nil {
		t.Fatal(err)
	}
	c := e.CommandIn("mount -t tmpfs tmpfs /run/systemd", "proa", "run", "-d", "--log-driver=journald", image, "true")
	refused(t, c, 125, "journald", "k8s-file")
}

// TestIdleMonitorSleeps: the monitor of a container that does nothing does nothing.
func TestIdleMonitorSleeps(t *testing.T) {
	name := start(t, env, "sh", "-c", "head -c 1000000 /dev/zero; exec sleep 1000")
	time.Sleep(4 * time.Second) // what it does once, it does within that
	pid := env.Proa("inspect", "-f", "{{.State.MonitorPid}}", name).OK(t).Out()
	before := switches(t, pid)
	time.Sleep(3 * time.Second)
	// Go's own watch comes by once a minute.
	if n := switches(t, pid) - before; n > 2 {
		t.Errorf("its threads woke %d times in 3 s", n)
	}
}

// switches counts how often the process's threads went to sleep.
func switches(t *testing.T, pid string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/" + pid + "/task/*/status")
	if err != nil || len(files) == 0 {
		t.Fatalf("the monitor, process %s, is gone (%v)", pid, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
		k, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

func TestInfoNamesLogDrivers(t *testing.T) {
	equal(t, "the default", env.Proa("info", "-f", "{{.LoggingDriver}}").OK(t).Out(), "k8s-file")
	equal(t, "all", env.Proa("info", "-f", "{{json .Plugins.Log}}").OK(t).Out(), `["k8s-file","json-file","journald","passthrough","none"]`)
}

// TestLogWaitsForNoReader: whoever reads slowly gets everything, and so does the log meanwhile.
func TestLogWaitsForNoReader(t *testing.T) {
	name := containerName(t)
	removeLater(t, env, name)
	script := "proa run --network=none --name " + name + " " + image + " seq 1 60000 | (sleep 4; cat) | tail -n 1"
	equal(t, "a slow reader", withImage(t, env).Command("sh", "-c", script).OK(t).Stdout, "60000\n")
	equal(t, "the log", env.Proa("logs", "-n1", name).OK(t).Stdout, "60000\n")
}
