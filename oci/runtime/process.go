package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

func (p *planner) process() error {
	s := p.spec.Process
	if s == nil {
		return nil
	}
	pr, err := p.newProcess(s)
	if err != nil {
		return err
	}
	if sc := p.spec.Linux.Seccomp; sc != nil {
		if pr.Seccomp, err = p.seccomp(sc); err != nil {
			return err
		}
	}
	p.plan.Process = *pr
	if l := p.spec.Linux.Personality; l != nil {
		domain, ok := map[specs.LinuxPersonalityDomain]uint64{specs.PerLinux: 0, specs.PerLinux32: 8}[l.Domain]
		if !ok || len(l.Flags) > 0 {
			return fmt.Errorf("config.json: unknown linux.personality %q; it is LINUX or LINUX32, without flags", l.Domain)
		}
		p.plan.Process.Personality = &domain
	}
	return nil
}

// NewProcess converts a further process for a container of the given spec, for launch.Exec.
func NewProcess(spec *specs.Spec, process *specs.Process, opts Options) (*plan.Plan, error) {
	c := *spec
	c.Process = process
	p := &planner{Options: opts, spec: &c, plan: &plan.Plan{}, confined: opts.UserNS}
	if c.Linux == nil {
		c.Linux = &specs.Linux{}
	}
	for _, n := range c.Linux.Namespaces {
		p.confined = p.confined || n.Type == specs.UserNamespace
	}
	if err := p.process(); err != nil {
		return nil, err
	}
	if a := process.ExecCPUAffinity; a != nil {
		list := a.Final
		if list == "" {
			list = a.Initial
		}
		var err error
		if p.plan.Process.CPUs, err = cpuMask(list); err != nil {
			return nil, err
		}
	}
	return p.plan, nil
}

func (p *planner) seccomp(s *specs.LinuxSeccomp) (*plan.Seccomp, error) {
	if s.ListenerPath != "" {
		return nil, errors.New("config.json: linux.seccomp.listenerPath is not supported")
	}
	if p.CompileSeccomp == nil {
		return nil, errors.New("config.json: linux.seccomp is not supported by this build")
	}
	filter, flags, err := p.CompileSeccomp(s)
	if err != nil {
		return nil, fmt.Errorf("compile the seccomp profile: %w", err)
	}
	if len(filter) == 0 {
		return nil, nil
	}
	return &plan.Seccomp{Filter: filter, Flags: flags}, nil
}

func (p *planner) newProcess(s *specs.Process) (*plan.Process, error) {
	if len(s.Args) == 0 {
		return nil, errors.New("config.json: process.args is empty")
	}
	if !strings.HasPrefix(s.Cwd, "/") {
		return nil, fmt.Errorf("config.json: process.cwd %q is not absolute", s.Cwd)
	}
	pr := &plan.Process{
		Args: s.Args, Env: s.Env, Cwd: s.Cwd, UID: s.User.UID, GID: s.User.GID, Groups: s.User.AdditionalGids,
		Umask: s.User.Umask, NoNewPrivileges: s.NoNewPrivileges, Terminal: s.Terminal,
	}
	if s.ConsoleSize != nil {
		pr.ConsoleRows, pr.ConsoleCols = uint16(s.ConsoleSize.Height), uint16(s.ConsoleSize.Width)
	}
	if adj := s.OOMScoreAdj; adj != nil {
		value := *adj
		if p.confined {
			value = max(value, p.OOMScoreAdj)
		}
		pr.OOMScoreAdj = &value
	}
	return pr, errors.Join(p.caps(pr, s.Capabilities), rlimits(pr, s.Rlimits), p.labels(pr, s), priorities(pr, s))
}

func (p *planner) caps(pr *plan.Process, s *specs.LinuxCapabilities) error {
	pr.Caps = &plan.Caps{}
	if s == nil {
		return nil
	}
	bits := map[string]uint64{}
	for _, c := range capability.ListKnown() {
		bits["CAP_"+strings.ToUpper(c.String())] = 1 << uint(c)
	}
	mask := func(to *uint64, names []string) error {
		for _, n := range names {
			b, ok := bits[n]
			if !ok {
				return fmt.Errorf("config.json: unknown capability %q", n)
			}
			*to |= b
		}
		return nil
	}
	c := pr.Caps
	defer func() { p.warnUngrantable(bits, c.Bounding|c.Effective|c.Permitted|c.Inheritable|c.Ambient) }()
	return errors.Join(mask(&c.Bounding, s.Bounding), mask(&c.Effective, s.Effective), mask(&c.Permitted, s.Permitted),
		mask(&c.Inheritable, s.Inheritable), mask(&c.Ambient, s.Ambient))
}

// warnUngrantable says which capabilities the container will lack (config.md, Linux Process: what can't be granted is
// logged and no failure).
func (p *planner) warnUngrantable(bits map[string]uint64, asked uint64) {
	if p.confined || p.Grantable == 0 || asked&^p.Grantable == 0 {
		return
	}
	var names []string
	for name, b := range bits {
		if asked&^p.Grantable&b != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slog.Warn("the container lacks capabilities that this process does not have", "capabilities", strings.Join(names, " "))
}

var rlimitNames = map[string]int{
	"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_STACK": unix.RLIMIT_STACK, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
}

func rlimits(pr *plan.Process, in []specs.POSIXRlimit) error {
	seen := map[string]bool{}
	for _, r := range in {
		n, ok := rlimitNames[r.Type]
		if !ok {
			return fmt.Errorf("config.json: unknown resource limit %q", r.Type)
		}
		if seen[r.Type] {
			return fmt.Errorf("config.json: the resource limit %q is there twice", r.Type)
		}
		seen[r.Type] = true
		pr.Rlimits = append(pr.Rlimits, plan.Rlimit{Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	return nil
}

func (p *planner) labels(pr *plan.Process, s *specs.Process) error {
	if a := s.ApparmorProfile; a != "" && (p.AppArmor || a != "unconfined") {
		if !p.AppArmor {
			return fmt.Errorf("the AppArmor profile %q can't be used: the kernel does not enforce AppArmor", a)
		}
		pr.AppArmor = a
	}
	if l := s.SelinuxLabel; l != "" {
		if !p.SELinux {
			return fmt.Errorf("the SELinux label %q can't be used: the kernel does not enforce SELinux", l)
		}
		pr.SELinux = l
	}
	if pr.AppArmor != "" && pr.SELinux != "" {
		return errors.New("config.json: a process has either an AppArmor profile or an SELinux label")
	}
	return nil
}

var schedPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4,
	specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 0x01, specs.SchedFlagReclaim: 0x02, specs.SchedFlagDLOverrun: 0x04,
	specs.SchedFlagKeepPolicy: 0x08, specs.SchedFlagKeepParams: 0x10, specs.SchedFlagUtilClampMin: 0x20,
	specs.SchedFlagUtilClampMax: 0x40,
}

func priorities(pr *plan.Process, s *specs.Process) error {
	if c := s.Scheduler; c != nil {
		policy, ok := schedPolicies[c.Policy]
		if !ok {
			return fmt.Errorf("config.json: unknown scheduling policy %q", c.Policy)
		}
		pr.Scheduler = &plan.Scheduler{
			Policy: policy, Nice: c.Nice, Priority: uint32(c.Priority), Runtime: c.Runtime, Deadline: c.Deadline, Period: c.Period,
		}
		for _, f := range c.Flags {
			bit, ok := schedFlags[f]
			if !ok {
				return fmt.Errorf("config.json: unknown scheduling flag %q", f)
			}
			pr.Scheduler.Flags |= bit
		}
	}
	if io := s.IOPriority; io != nil {
		class, ok := map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}[io.Class]
		if !ok {
			return fmt.Errorf("config.json: unknown I/O priority class %q", io.Class)
		}
		value := class<<13 | io.Priority
		pr.IOPriority = &value
	}
	return nil
}

// cpuMask converts a list such as "0-3,8" to the mask sched_setaffinity(2) takes.
func cpuMask(list string) ([]byte, error) {
	mask := make([]byte, 128)
	for _, part := range strings.Split(list, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && ranged {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 0 || b < a || b >= len(mask)*8 {
			return nil, fmt.Errorf("config.json: invalid CPU list %q", list)
		}
		for ; a <= b; a++ {
			mask[a/8] |= 1 << (a % 8)
		}
	}
	return mask, nil
}
