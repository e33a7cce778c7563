package tests

import (
	"encoding/json"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

func TestStats(t *testing.T) {
	_, d := delegated(t)
	d.Proa("run", "-d", "--network=none", "--name", "busy", image, "sh", "-c", "while :; do :; done").OK(t)
	d.Proa("run", "-d", "--network=none", "--name", "idle", image, "sleep", "1000").OK(t)
	d.Proa("create", "--network=none", "--name", "never", image, "true").OK(t)
	rows := map[string]map[string]string{}
	all := d.Proa("stats", "-a", "--no-stream", "--format", "json").OK(t)
	for _, l := range strings.Split(all.Out(), "\n") {
		var row map[string]string
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		rows[row["Name"]] = row
	}
	busy, err := strconv.ParseFloat(strings.TrimSuffix(rows["busy"]["CPUPerc"], "%"), 64)
	if err != nil || busy <= 0 {
		t.Errorf("a busy container uses no processor: %v", rows)
	}
	equal(t, "an idle one", rows["idle"]["CPUPerc"], "0.00%")
	equal(t, "its processes", rows["idle"]["PIDs"], "1")
	equal(t, "one that never ran", rows["never"]["CPUPerc"], "--")
	if mem := rows["idle"]["MemUsage"]; strings.HasPrefix(mem, "--") != strings.Contains(all.Stderr, "memory") {
		t.Errorf("the memory is %q, and the warning: %s", mem, all.Stderr)
	}
	table := d.Proa("stats", "--no-stream").OK(t).Out()
	if !strings.HasPrefix(table, "CONTAINER ID   NAME") || strings.Contains(table, "never") || strings.Count(table, "\n") != 2 {
		t.Errorf("table:\n%s", table)
	}
	equal(t, "one by name", d.Proa("stats", "--no-stream", "--format", "{{.Name}}", "idle").OK(t).Out(), "idle")
	id := d.Proa("inspect", "-f", "{{.Id}}", "idle").OK(t).Out()
	equal(t, "--no-trunc", d.Proa("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}", "idle").OK(t).Out(), id)
	statsLive(t, d)
}

// statsLive: tables follow one another on a terminal until Ctrl-C, which is no error.
func statsLive(t *testing.T, d *harness.Delegation) {
	t.Helper()
	term := d.Proa("stats").OnTerminal(t, 24, 120)
	harness.Eventually(t, "a second table", func() bool { return strings.Count(term.Screen(), "CONTAINER ID") >= 2 })
	term.Type(t, "\x03")
	if code := term.Wait(t); code != 0 {
		t.Errorf("stats ended by Ctrl-C: exit code %d, want 0", code)
	}
}

func TestStatsRefusals(t *testing.T) {
	refused(t, env.Proa("stats", "--no-stream", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("stats", "-a", "c"), 125, "--all")
	refused(t, env.Proa("stats", "-i", "0"), 125, "--interval")
	refused(t, env.Proa("stats", "--format", "{{"), 125, "--format")
	var st syscall.Statfs_t
	if syscall.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == 0x63677270 {
		return
	}
	name := start(t, env, "sleep", strconv.Itoa(int(time.Hour.Seconds())))
	refused(t, env.Proa("stats", "--no-stream", name), 1, "cgroup v2", "proa doctor")
}
