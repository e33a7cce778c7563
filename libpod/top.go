package libpod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/user"
	"github.com/proa-containers/proa/libpod/tree"
	"golang.org/x/sys/unix"
)

// PIDs are the processes of the running container by their pids on the host, in order. They come from its cgroup; where
// it has none of its own, they are those that share a pid or mount namespace of its init, and what these have started.
func (e *Engine) PIDs(c *Container) ([]int, error) {
	st := e.Status(c)
	if st.PID == 0 {
		return nil, &WrongStateError{c.Name, st.State, "is not running"}
	}
	if dirs := e.cgroupsOf(c.ID); len(dirs) > 0 {
		return cgroupPIDs(dirs[0])
	}
	return namespacePIDs(st.PID)
}

// cgroupPIDs are the processes in a cgroup and beneath it.
func cgroupPIDs(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil // one that is threaded, whose processes are its parent's
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	slices.Sort(pids)
	return pids, err
}

func namespacePIDs(init int) ([]int, error) {
	ns := func(pid int, kind string) string {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		return link
	}
	pidns, mnt := ns(init, "pid"), ns(init, "mnt")
	if pidns == ns(os.Getpid(), "pid") {
		pidns = "" // the host's, which tells nothing
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	in, parents := map[int]bool{init: true}, map[int]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p := ns(pid, "pid"); p != "" && p == pidns || mnt != "" && ns(pid, "mnt") == mnt {
			in[pid] = true
		}
		if s, err := readStat(pid); err == nil {
			parents[pid] = s.ppid
		}
	}
	for again := true; again; {
		again = false
		for pid, ppid := range parents {
			if in[ppid] && !in[pid] {
				in[pid], again = true, true
			}
		}
	}
	pids := make([]int, 0, len(in))
	for pid := range in {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, nil
}

// procStat is what top shows of /proc/PID/stat (proc_pid_stat(5)); times are in clock ticks, of which there are 100 a
// second on every architecture that Linux shows to programs.
type procStat struct {
	comm        string
	state       string
	ppid, tty   int
	ticks       uint64 // user and system
	start       uint64 // since the boot
	utilization int    // in percent, of the process's life
}

const ticksPerSecond = 100

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	text := string(b)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	f := strings.Fields(text[end+1:])
	if open < 0 || len(f) < 20 {
		return procStat{}, fmt.Errorf("reading /proc/%d/stat: it is cut", pid)
	}
	num := func(i int) uint64 { n, _ := strconv.ParseUint(f[i], 10, 64); return n }
	ppid, _ := strconv.Atoi(f[1])
	tty, _ := strconv.Atoi(f[4])
	return procStat{comm: text[open+1 : end], state: f[0], ppid: ppid, tty: tty, ticks: num(11) + num(12), start: num(19)}, nil
}

// Top lists the container's processes as the titles of columns and a row of values for each. Without options the columns
// are those of ps -ef, read from /proc; with options the host's ps makes them.
func (e *Engine) Top(ctx context.Context, c *Container, options []string) (titles []string, rows [][]string, err error) {
	pids, err := e.PIDs(c)
	if err != nil {
		return nil, nil, err
	}
	e.say(c, "top")
	if len(options) > 0 {
		return psTop(ctx, pids, options)
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return nil, nil, err
	}
	now := time.Now()
	names := e.userNames(c)
	for _, pid := range pids {
		s, err := readStat(pid)
		if err != nil {
			continue // ended meanwhile
		}
		age := time.Duration(boot.Nano()) - time.Duration(s.start)*time.Second/ticksPerSecond
		if secs := uint64(age / time.Second); secs > 0 {
			s.utilization = int(min(s.ticks/secs*100/ticksPerSecond, 99))
		}
		used := s.ticks / ticksPerSecond
		rows = append(rows, []string{
			names(pid), strconv.Itoa(pid), strconv.Itoa(s.ppid), strconv.Itoa(s.utilization), startTime(now.Add(-age), now), ttyName(s.tty),
			fmt.Sprintf("%02d:%02d:%02d", used/3600, used/60%60, used%60), commandLine(pid, s),
		})
	}
	return []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}, rows, nil
}

// startTime is the hour, or for a process of another day the date.
func startTime(at, now time.Time) string {
	switch {
	case at.Year() != now.Year():
		return at.Format("2006")
	case at.YearDay() != now.YearDay():
		return at.Format("Jan02")
	}
	return at.Format("15:04")
}

// ttyName names a terminal by its device number.
func ttyName(dev int) string {
	major, minor := unix.Major(uint64(dev)), unix.Minor(uint64(dev))
	switch {
	case dev == 0:
		return "?"
	case major >= 136 && major <= 143: // Unix98 slaves (devices.txt)
		return fmt.Sprintf("pts/%d", (major-136)<<8+minor)
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

func commandLine(pid int, s procStat) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	line := strings.TrimSpace(string(bytes.ReplaceAll(bytes.TrimRight(b, "\x00"), []byte{0}, []byte{' '})))
	if line == "" {
		line = "[" + s.comm + "]"
	}
	if s.state == "Z" {
		line += " <defunct>"
	}
	// What a process calls itself must not act on the terminal.
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, line)
}

// userNames looks up who a process runs as, by the container's names.
func (e *Engine) userNames(c *Container) func(pid int) string {
	known := map[int]string{}
	if root := e.runningRoot(c); root != nil {
		if p, err := tree.Find(root, "/etc/passwd", true); err == nil {
			if p.File != nil && p.Mode&unix.S_IFMT == unix.S_IFREG {
				if f, err := tree.Reopen(p.File, unix.O_RDONLY); err == nil {
					users, _ := user.ParsePasswdFilter(f, func(user.User) bool { return true })
					for _, u := range users {
						if _, ok := known[u.Uid]; !ok {
							known[u.Uid] = u.Name
						}
					}
					f.Close()
				}
			}
			p.Close()
		}
		root.Close()
	}
	return func(pid int) string {
		var st unix.Stat_t
		// A process that may not be traced has its files in /proc owned by root: its directory's status tells the truth.
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) != nil {
			return "?"
		}
		uid := int(st.Uid)
		if _, rest, ok := strings.Cut(string(b), "\nUid:"); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				uid, _ = strconv.Atoi(f[1])
			}
		}
		if name, ok := known[uid]; ok {
			return name
		}
		return strconv.Itoa(uid)
	}
}

// psTop picks the container's processes from what the host's ps prints.
func psTop(ctx context.Context, pids []int, options []string) (titles []string, rows [][]string, err error) {
	path, err := exec.LookPath("ps")
	if err != nil {
		return nil, nil, errors.New("options are those of ps, which is not installed on this host; install procps, or give none")
	}
	// ps would leave out other terminals' processes, unless it is told which to show; not every option goes with that.
	list := strings.ReplaceAll(strings.Trim(fmt.Sprint(pids), "[]"), " ", ",")
	out, err := exec.CommandContext(ctx, path, append(slices.Clone(options), "-q", list)...).Output()
	if err != nil {
		out, err = exec.CommandContext(ctx, path, options...).Output()
	}
	if err != nil {
		text := err.Error()
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			text, _, _ = strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
		}
		return nil, nil, fmt.Errorf("running ps %s: %s", strings.Join(options, " "), text)
	}
	head, rest, _ := strings.Cut(string(out), "\n")
	titles = strings.Fields(head)
	at := slices.Index(titles, "PID")
	if at < 0 {
		return nil, nil, fmt.Errorf("ps %s prints no column PID, by which the container's processes are picked; add it, as in -o pid,comm", strings.Join(options, " "))
	}
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		if len(f) <= at {
			continue
		}
		if pid, err := strconv.Atoi(f[at]); err != nil || !slices.Contains(pids, pid) {
			continue
		}
		if last := len(titles) - 1; len(f) > len(titles) {
			f = append(f[:last:last], strings.Join(f[last:], " ")) // only the last column has spaces in it
		}
		rows = append(rows, f)
	}
	return titles, rows, nil
}
