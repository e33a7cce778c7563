package perform

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setLimits sets what is about the process rather than the container.
func (p *performer) setLimits() error {
	pr := &p.Process
	for _, r := range pr.Rlimits {
		if err := unix.Prlimit(0, r.Resource, &unix.Rlimit{Cur: r.Soft, Max: r.Hard}, nil); err != nil {
			return fail("set the resource limit "+strconv.Itoa(r.Resource)+" to "+strconv.FormatUint(r.Soft, 10)+":"+strconv.FormatUint(r.Hard, 10), err)
		}
	}
	if s := pr.Scheduler; s != nil {
		attr := &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: s.Policy, Flags: s.Flags, Nice: s.Nice, Priority: s.Priority,
			Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
		}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil {
			return fail("set the scheduling policy", err)
		}
	}
	if pr.IOPriority != nil {
		const whoProcess = 1
		if _, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(*pr.IOPriority)); e != 0 {
			return fail("set the I/O priority", e)
		}
	}
	if n := len(pr.CPUs); n > 0 {
		if _, _, e := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(n), uintptr(unsafe.Pointer(&pr.CPUs[0]))); e != 0 {
			return fail("set the CPU affinity", e)
		}
	}
	if pr.Personality != nil {
		if _, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(*pr.Personality), 0, 0); e != 0 {
			return fail("set the personality", e)
		}
	}
	return nil
}
