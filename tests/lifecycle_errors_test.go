package tests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// TestLifecycleErrors compares what the lifecycle commands say to bad input, and their exit codes, with testdata. There
// are a running container, up, an ended one, ended, one that never ran, made, and several whose ids begin as AMBIGUOUS.
func TestLifecycleErrors(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	sleeper(t, e, "up")
	e.Proa("run", "--network=none", "--name", "ended", image, "sh", "-c", "exit 3").Want(t, 3)
	e.Proa("create", "--network=none", "--name", "made", image).OK(t)
	ambiguous := ""
	for first := map[string]bool{}; ambiguous == ""; { // by the 17th
		id := e.Proa("create", "--network=none", image).OK(t).Out()
		if first[id[:1]] {
			ambiguous = id[:1]
		}
		first[id[:1]] = true
	}
	ended := inspectField(t, e, "ended", "{{.Id}}")
	cid := filepath.Join(e.TempDir(t), "cid")
	var out strings.Builder
	for _, line := range errorLines() {
		args := strings.Fields(strings.NewReplacer("AMBIGUOUS", ambiguous, "FILE", cid, `""`, "EMPTY").Replace(line))
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "EMPTY", "")
		}
		r := e.Proa(args...).Run(t)
		if r.Code == 0 || r.Stderr == "" {
			t.Errorf("proa %s: taken: %+v", line, r)
		}
		said := strings.NewReplacer(cid, "FILE", ended[:12], "ENDED").Replace(r.Stderr)
		if strings.Contains(line, "AMBIGUOUS") {
			said = strings.NewReplacer(`"`+ambiguous+`"`, `"AMBIGUOUS"`, "="+ambiguous+`"`, `=AMBIGUOUS"`).Replace(said)
		}
		fmt.Fprintf(&out, "proa %s\n%d\t%s", line, r.Code, said)
	}
	golden := filepath.Join(env.Root, "tests/testdata/lifecycle-errors.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("differs from %s (go test -update writes it):\n%s", golden, out.String())
	}
	equal(t, "what is there is as it was", namesIn(t, e, "running")+" "+namesIn(t, e, "exited"), "up ended")
}

// errorLines are the command lines: for every verb those that every verb refuses, and then its own.
func errorLines() []string {
	var lines []string
	for _, verb := range []string{"start", "stop", "restart", "kill", "rm", "pause", "unpause", "wait", "inspect", "update -m 64m", "attach", "debug", "container clone", "container init"} {
		lines = append(lines, verb+" no-such", verb+` ""`, verb+" AMBIGUOUS", verb, verb+" --no-such-flag up")
	}
	for _, verb := range []string{"start", "stop", "restart", "kill", "rm", "pause", "unpause"} {
		lines = append(lines, verb+" --all up", verb+" --latest up", verb+" --latest --all", verb+" --cidfile FILE")
	}
	for _, verb := range []string{"start", "stop", "restart", "rm", "pause", "unpause"} {
		lines = append(lines, verb+" --filter label=a up", verb+" --filter nonsense=a", verb+" --filter label", verb+" --all --filter status=nonsense")
	}
	return append(lines,
		"start -a up ended", "start -a no-such", "start -i",
		"stop -t x up", "stop -t -2 up", "stop -s NOSUCH up", "stop --signal 65 up", `stop -s "" up`,
		"restart --running --all", "restart --running up", "restart -t -2 up", "restart -s 0 up",
		"kill ended", "kill made", "kill -s NOSUCH up", "kill -s 0 up", `kill -s "" up`,
		"rm up", "rm -t 3 ended", "rm -f -t -2 up", "rm ended-not no-such up", "rm -f AMBIGUOUS",
		"pause ended", "pause made", "unpause up", "unpause ended",
		"wait --condition nonsense up", "wait --interval 0 up", "wait --interval soon up", "wait --condition paused no-such",
		"rename up", "rename up ended", "rename up -bad", "rename no-such x", "rename up up",
		"attach ended", "attach up ended",
		"debug up --pull sometimes", "debug up --pull always", "debug up --pull never --image hello", `debug up --image ""`, "debug up --image no-such --pull never", "debug --latest --image no-such --pull never ls -la",
		"debug -t up", "debug -it ended true", "debug -w etc up true", "debug -u nobody-here up true", "debug up no-such-program", "debug ended /etc/notexec", "debug up -i=perhaps",
		"debug up --env-file /no/such/file true",
		"ps up", "ps -n x", "ps -n -2", "ps -l -n 3", "ps -qs", "ps --sort nonsense", "ps --filter nonsense=1", "ps --filter name", "ps --filter name=",
		"ps --filter name=[", "ps --filter status=nonsense", "ps --filter exited=x", "ps --filter before=no-such", "ps --filter since=AMBIGUOUS",
		"ps --filter until=soon", "ps --filter health=nonsense", "ps --filter is-task=perhaps", "ps --filter restart-policy=nonsense",
		"ps --filter publish=nonsense", "ps --filter expose=80/nonsense", "ps --filter pod=p", "ps --format {{.Nope}}", "ps --format {{", "ps --sync",
		"inspect --type nonsense up", "inspect --type image up", "inspect -l up", "inspect -f {{.Nope}} up", "inspect -f {{ up", "inspect -l --type image",
		"container inspect no-such", "container exists", "container exists up ended",
		"container prune up", "container prune -f --filter name=up", "container prune -f --filter until=soon", "container prune",
		"container clone a b c d", "container clone --name x up y", "container clone -f up", "container clone --destroy up", "container clone up ended",
		"container clone up new no/such/image", "container clone -m 1k up", "container clone --run --name -bad up",
		"update up", "update -m 1k up", "update -m much up", "update --cpus -1 up", "update --pids-limit -2 up", "update --cpuset-cpus x ended",
		"update --memory-swap 64m ended", "update -m 64m --memory-swap 32m ended", "update --cpu-shares 1 ended", "update --cpus 1 --cpu-quota 5000 ended", "update --cpu-period 1 ended", "update --blkio-weight 5 ended",
		"update --health-interval 1 ended", "update --health-interval 1s ended", "update --no-healthcheck --health-retries 2 ended", "update -m 64m --memory-reservation 1g ended",
	)
}
