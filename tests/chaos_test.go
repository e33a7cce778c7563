package tests

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// The torture test: rounds of random commands by several workers at once over some containers and images, with SIGKILL
// at random moments to proa, monitors and inits, and SIGSTOP to monitors. After each round everything must be in order. What is done follows from
// the seed alone, when it happens from the machine as well.
//
// ROUNDS is the number of rounds, SEED the seed (it is printed), FIRST the round to begin with. `make test-chaos` runs
// more of them than the suite does. As root all is done twice, the second time in a delegated cgroup: a container's
// processes can be found by it then, and it can be paused.
const (
	chaosWorkers    = 4
	chaosOps        = 10 // a worker and round
	chaosContainers = 12
	chaosImages     = 4
	chaosVolumes    = 3
	chaosRounds     = 7
)

func number(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestChaos(t *testing.T) {
	seed := number(t, "SEED", uint64(time.Now().UnixNano()))
	first, rounds := number(t, "FIRST", 0), number(t, "ROUNDS", chaosRounds)
	t.Logf("SEED=%d", seed)
	plain := t.Run("plain", func(t *testing.T) { torture(t, newChaos(t, false), seed, first, rounds) })
	if plain && os.Getuid() == 0 { // who else could delegate a cgroup
		t.Run("delegated", func(t *testing.T) { torture(t, newChaos(t, true), seed, first, rounds) })
	}
}

func torture(t *testing.T, c *chaos, seed, first, rounds uint64) {
	for r := first; r < first+rounds; r++ {
		c.round(t, seed, r)
		c.check(t)
		if t.Failed() {
			t.Fatalf("rounds to %d of SEED=%d:\n%s", r, seed, c.history())
		}
		c.earlier, c.done = c.done, nil
	}
	c.finish(t)
	t.Logf("%d commands, of which %d were killed, and %d signals to monitors and inits", c.commands, c.killedCommands, c.killedOthers)
	if testing.Verbose() {
		for _, m := range slices.Sorted(mapsKeys(c.messages)) {
			t.Logf("%5d %s", c.messages[m], m)
		}
	}
}

// chaos is the place and what happened there.
type chaos struct {
	e        *harness.Env
	d        *harness.Delegation // nil where no cgroup can be delegated
	archives []string
	before   map[int]bool // processes of other tests

	mu             sync.Mutex
	earlier, done  []string // in the last two rounds
	messages       map[string]int
	commands       int
	killedCommands int
	killedOthers   int
}

func newChaos(t *testing.T, delegate bool) *chaos {
	c := &chaos{e: env.Fresh(t), messages: map[string]int{}}
	c.before = map[int]bool{}
	for _, p := range c.e.Processes() {
		c.before[p.PID] = true
	}
	if delegate {
		c.d = c.e.Delegate(t)
	}
	for i := range chaosImages {
		img := baseImage(t)
		img.Layers = append(slices.Clone(img.Layers), harness.Layer(harness.Entry{Name: "common", Content: "c"}),
			harness.Layer(harness.Entry{Name: "own", Content: strings.Repeat(strconv.Itoa(i), 1<<18)}))
		c.archives = append(c.archives, archive(t, c.e, fmt.Sprintf("i%d.tar", i), img.DockerArchive(chaosImage(i))))
		c.proa("load", "-i", c.archives[i]).OK(t)
	}
	return c
}

func chaosImage(i int) string { return fmt.Sprintf("localhost/chaos/i%d:latest", i) }

func (c *chaos) proa(args ...string) *harness.Cmd {
	if c.d != nil {
		return c.d.Proa(args...)
	}
	return c.e.Proa(args...)
}

// op is one planned command.
type op struct {
	args []string
	kill time.Duration // after which it is killed; 0: not before it hangs
}

// blow is a planned signal to one of the processes that do not belong to a command.
type blow struct {
	after time.Duration
	init  bool // an init, or its monitor
	stop  bool // SIGSTOP to a monitor
	pause bool // the pause process, rather than any of the others
	which int
}

// plan makes the round's commands, for each worker, and blows.
func (c *chaos) plan(r *rand.Rand) (work [][]op, blows []blow) {
	for range chaosWorkers {
		var ops []op
		for range chaosOps {
			o := op{args: c.command(r)}
			// Those that wait for a container end when somebody ends it, or not.
			if waits := slices.Contains([]string{"wait", "attach", "logs"}, o.args[0]); waits || r.IntN(5) == 0 {
				o.kill = time.Duration(10+r.IntN(120)) * time.Millisecond
			}
			ops = append(ops, o)
		}
		work = append(work, ops)
	}
	for range 6 {
		blows = append(blows, blow{time.Duration(r.IntN(800)) * time.Millisecond, r.IntN(2) == 0, r.IntN(4) == 0, r.IntN(20) == 0, r.IntN(1000)})
	}
	return work, blows
}

func (c *chaos) round(t *testing.T, seed, n uint64) {
	t.Helper()
	work, blows := c.plan(rand.New(rand.NewPCG(seed, n)))
	var workers, killer sync.WaitGroup
	over := make(chan struct{})
	for _, b := range blows {
		killer.Go(func() {
			select {
			case <-over:
			case <-time.After(b.after):
				c.strike(b)
			}
		})
	}
	for w, ops := range work {
		workers.Go(func() {
			for _, o := range ops {
				c.do(t, w, o)
			}
		})
	}
	workers.Wait()
	close(over)
	killer.Wait()
	c.wakeStrays(t)
}

// wakeStrays lets monitors go on that were stopped as they became the clean-up, or before their starter, which was killed
// then, had given them a container: nobody looks after these, and all they do is end.
func (c *chaos) wakeStrays(t *testing.T) {
	t.Helper()
	wake := func(stray func(harness.Process) bool) {
		for _, p := range c.e.Processes() {
			if stray(p) && processState(p.PID) == "T" {
				_ = syscall.Kill(p.PID, syscall.SIGCONT)
			}
		}
	}
	wake(func(p harness.Process) bool { return slices.Contains(p.Args, "cleanup") }) // it may hold the state's lock
	records, _ := c.records(t)
	wake(func(p harness.Process) bool {
		return p.Args[0] == "proa-monitor" && !slices.ContainsFunc(records, func(r chaosRecord) bool { return r.Monitor == p.PID })
	})
}

// chaosTimeout is after what time a command hangs: a command may wait for another that works on the same container.
const chaosTimeout = 50 * time.Second

// do runs one command, killing it when that is its time, and complains of what no command may do.
func (c *chaos) do(t *testing.T, worker int, o op) {
	x := c.proa(o.args...).Exec(context.Background())
	var stdout, stderr bytes.Buffer
	x.Stdout, x.Stderr = &stdout, &stderr
	began := time.Now()
	if err := x.Start(); err != nil {
		t.Error(err)
		return
	}
	// A command in a container that another worker pauses waits, rightly, until that goes on.
	waits := c.d != nil && slices.Contains([]string{"exec", "debug", "healthcheck"}, o.args[0])
	hangs := o.kill == 0 && !waits
	killed := false
	after := o.kill
	if after == 0 {
		after = chaosTimeout
	}
	if waits {
		after = min(after, 3*time.Second)
	}
	timer := time.AfterFunc(after, func() {
		killed = true
		if hangs {
			t.Errorf("proa %s hangs", strings.Join(o.args, " "))
		}
		_ = x.Process.Kill()
	})
	_ = x.Wait()
	timer.Stop()
	code := harness.ExitCode(x.ProcessState)
	message := strings.TrimSpace(stderr.String())
	line := fmt.Sprintf("%s worker %d: proa %s: %d after %v %s", began.Format("05.000"), worker, strings.Join(o.args, " "), code, time.Since(began).Round(time.Millisecond), message)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, line)
	c.commands++
	if killed {
		c.killedCommands++
	}
	for _, bad := range []string{"goroutine ", "panic", "%!", "input/output error", "reading the record", "unexpected fault"} {
		if strings.Contains(message, bad) {
			t.Errorf("proa %s: %s", strings.Join(o.args, " "), message)
		}
	}
	if message != "" {
		c.messages[o.args[0]+": "+withoutNames(message)]++
	}
}

// strike signals one of the processes that are there now.
func (c *chaos) strike(b blow) {
	var monitors, inits, pause []harness.Process
	all := c.e.Processes()
	for _, p := range all {
		if p.Args[0] == "proa-monitor" && !c.before[p.PID] {
			monitors = append(monitors, p)
		}
		if p.Args[0] == "proa-pause" && !c.before[p.PID] {
			pause = append(pause, p)
		}
	}
	for _, p := range all {
		if slices.ContainsFunc(monitors, func(m harness.Process) bool { return m.PID == p.Parent }) {
			inits = append(inits, p)
		}
	}
	victims := monitors
	if b.init {
		victims = inits
	}
	if b.pause {
		victims = pause
	}
	if len(victims) == 0 {
		return
	}
	v := victims[b.which%len(victims)]
	sig := syscall.SIGKILL
	if b.stop && !b.init && !b.pause {
		sig = syscall.SIGSTOP
	}
	if syscall.Kill(v.PID, sig) != nil {
		return
	}
	if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", v.PID)); sig == syscall.SIGSTOP && !strings.HasPrefix(string(cmdline), v.Args[0]+"\x00") {
		_ = syscall.Kill(v.PID, syscall.SIGCONT) // it has become the clean-up: stopped, that holds the store's locks
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killedOthers++
	c.messages[fmt.Sprintf("signal %d to %s", sig, v.Args[0])]++
	c.done = append(c.done, fmt.Sprintf("%s signal %d to %s", time.Now().Format("05.000"), sig, v))
}

func (c *chaos) history() string {
	slices.Sort(c.earlier)
	slices.Sort(c.done)
	return strings.Join(slices.Concat(c.earlier, c.done), "\n")
}

// withoutNames is a message without what differs from one container to the next.
func withoutNames(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\n' })
	for i, w := range words {
		if bare := strings.Trim(w, `":,;()`); len(bare) >= 12 && strings.Trim(bare, "0123456789abcdef") == "" || len(bare) > 1 && (bare[0] == 'c' || bare[0] == 'i') && strings.Trim(bare[1:], "0123456789") == "" {
			words[i] = "X"
		}
		if strings.Contains(w, "/") {
			words[i] = filepath.Dir(w)[:min(30, len(filepath.Dir(w)))] + "/…"
		}
	}
	return strings.Join(words, " ")
}
