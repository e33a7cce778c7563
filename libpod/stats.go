package libpod

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod/cgroup"
	"golang.org/x/sys/unix"
)

// Usage is what a container uses at one moment, but for the processors: see Gauge.CPU. A negative number is one that the host does not tell.
type Usage struct {
	Memory      int64 // bytes, without the page cache that can be dropped at once
	MemoryLimit int64 // bytes: the container's, or the nearest of what it is in, or the host's memory
	PIDs        int64
	Read, Write int64 // bytes, of block devices
	Rx, Tx      int64 // bytes, of its network interfaces; without any, zero
	Missing     []string
}

// ErrNoCgroupV2 says that there are no figures: without root a container has no cgroup where the host uses v1 too.
var ErrNoCgroupV2 = errors.New("without root stats come from cgroup v2, which this host does not use alone; `proa doctor` says how to switch to it")

// Gauge reads what one running container uses. It belongs to one run: one that has ended is a *WrongStateError.
type Gauge struct {
	name     string
	pid      int
	dir      string   // its cgroup
	v1       []string // its cgroups of version 1, in place of that
	networks bool     // it has interfaces of its own
}

// Gauge finds the running container c's cgroup.
func (e *Engine) Gauge(c *Container) (*Gauge, error) {
	st := e.Status(c)
	if st.PID == 0 {
		return nil, &WrongStateError{c.Name, st.State, "is not running"}
	}
	dirs := e.cgroupsOf(c.ID)
	g := &Gauge{name: c.Name, pid: st.PID, networks: c.Config.Namespaces.Network != "host"}
	switch {
	case !cgroup.Unified() && len(dirs) == 0:
		return nil, ErrNoCgroupV2
	case !cgroup.Unified():
		g.v1 = dirs
	case len(dirs) != 1:
		return nil, fmt.Errorf("container %q has no cgroup of its own, since %w; `proa doctor` says what gives it one", c.Name, cgroup.ErrNone)
	default:
		g.dir = dirs[0]
	}
	return g, nil
}

func (g *Gauge) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &WrongStateError{g.name, Exited, "is not running"}
	}
	if err != nil {
		return fmt.Errorf("reading what container %q uses: %w", g.name, err)
	}
	return nil
}

// CPU reads the time used of the processors, and when that was. It takes a fraction of what Usage does.
func (g *Gauge) CPU() (used time.Duration, at time.Time, err error) {
	at = time.Now()
	if g.v1 != nil {
		n, err := number(fileV1(g.v1, "cpuacct", "cpuacct.usage"))
		return time.Duration(n), at, g.explain(err)
	}
	cpu, err := keyed(filepath.Join(g.dir, "cpu.stat")) // there without any controller
	return time.Duration(cpu["usage_usec"]) * time.Microsecond, at, g.explain(err)
}

// Usage reads the rest.
func (g *Gauge) Usage() (Usage, error) {
	read := func() (Usage, error) { return readUsage(g.dir) }
	if g.v1 != nil {
		read = func() (Usage, error) { return readUsageV1(g.v1) }
	}
	u, err := read()
	if err != nil {
		return u, g.explain(err)
	}
	if g.networks {
		u.Rx, u.Tx = netUsage(g.pid)
	}
	return u, nil
}

// readUsage reads the files of a cgroup (cgroup-v2.rst). A file that needs a controller is missing where the host does not
// delegate that.
func readUsage(dir string) (u Usage, err error) {
	u = Usage{Memory: -1, MemoryLimit: -1, PIDs: -1, Read: -1, Write: -1}
	if u.Memory, err = number(filepath.Join(dir, "memory.current")); err != nil {
		u.Missing = append(u.Missing, "memory")
	} else {
		stat, err := keyed(filepath.Join(dir, "memory.stat"))
		if err != nil {
			return u, err
		}
		u.Memory = max(0, u.Memory-stat["inactive_file"])
		u.MemoryLimit = memoryLimit(dir)
	}
	if u.PIDs, err = number(filepath.Join(dir, "pids.current")); err != nil {
		u.Missing = append(u.Missing, "pids")
		u.PIDs = -1
		if pids, err := cgroupPIDs(dir); err == nil {
			u.PIDs = int64(len(pids))
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "io.stat"))
	if err != nil {
		u.Missing = append(u.Missing, "io")
		return u, nil
	}
	u.Read, u.Write = 0, 0
	for f := range strings.FieldsSeq(string(b)) {
		key, value, _ := strings.Cut(f, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "rbytes":
			u.Read += n
		case "wbytes":
			u.Write += n
		}
	}
	return u, nil
}

// keyed reads a file of lines "key number".
func keyed(path string) (map[string]int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			out[key] = n
		}
	}
	return out, nil
}

// number reads a file of one number; -1 with the error.
func number(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return -1, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return -1, err
	}
	return n, nil
}

// memoryLimit is the lowest limit of the cgroup and of those that it is in, at most the host's memory.
func memoryLimit(dir string) int64 {
	limit := int64(-1)
	var host unix.Sysinfo_t
	if unix.Sysinfo(&host) == nil {
		limit = int64(host.Totalram) * int64(host.Unit)
	}
	for ; len(dir) > 1; dir = filepath.Dir(dir) {
		if n, err := number(filepath.Join(dir, "memory.max")); err == nil && (limit < 0 || n < limit) { // "max" is no number
			limit = n
		}
	}
	return limit
}

// netUsage sums up the interfaces in the network namespace of pid, but for the loopback.
func netUsage(pid int) (rx, tx int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if !ok || strings.TrimSpace(name) == "lo" || len(fields) < 9 {
			continue
		}
		r, _ := strconv.ParseInt(fields[0], 10, 64)
		t, _ := strconv.ParseInt(fields[8], 10, 64)
		rx, tx = rx+r, tx+t
	}
	return rx, tx
}
