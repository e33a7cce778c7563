package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// exception is a case, or points of it, that can't pass: the host lacks what it needs, which is looked up now, or the
// suite contradicts the specification. docs/validation.md says the same in prose.
type exception struct {
	cases  []string
	points []string // parts of the failures' text; all other points must pass
	reason string
	racy   bool // it passes at times
	// instead tests the clause of the specification, where the suite is wrong.
	instead func(t *testing.T, r *ociRuntime)
}

const whatever = ""

// exceptions are those that hold for this host.
func exceptions(r *ociRuntime) []exception {
	table := []exception{
		{cases: one("process_rlimits"), points: one("has expected soft RLIMIT_NOFILE"), instead: softLimit,
			reason: "the suite's own program in the container is made with Go, which raises its soft limit before main (runc and crun fail it too)"},
		{cases: one("misc_props"), points: one("if they encounter an unknown annotation key"), instead: unknownAnnotation,
			reason: "the suite does not put the command into the root filesystem, and wants start to succeed (runc and crun fail it too)"},
		{cases: one("pidfile"), points: one("create with '--pid-file' option works"), racy: true, instead: pidFile,
			reason: "the suite kills a container that has ended; runtime.md, Kill: that MUST generate an error (runc and crun fail it too)"},
		{cases: one("killsig"), points: one("MUST send the specified signal to the container process"), racy: true, instead: killSignals,
			reason: "the suite may send the signal before the shell in the container has set its trap (seen of runc too)"},
		{cases: one("start"), points: []string{"MUST generate an error if `process` was not set", "timeout in waiting for the container status"}, instead: startNothing,
			reason: "the suite wants success where runtime.md, Start, and its own message want an error"},
		{cases: one("prestart"), points: one("Pre-start hooks MUST be called after the `start` operation is called"), instead: hookOrder,
			reason: "config.md, Prestart: these hooks MUST be called as part of the create operation; the suite is older (runc and crun fail it too)"},
		{cases: one("hooks"), points: one("Hooks MUST be called in the listed order"), instead: hookOrder,
			reason: "the suite expects lines its hooks do not write, and would crash if they did (runc and crun fail it too)"},
		{cases: one("poststart"), points: one("post-start hooks MUST be called after the user-specified process is executed"), racy: true, instead: poststartAfterExec,
			reason: "the hook begins after execve, as config.md, Poststart, wants; the suite compares which of two running processes writes first"},
	}
	if !hasAppArmorProfile("acme_secure_profile") {
		table = append(table, exception{cases: one("linux_process_apparmor_profile"), points: one("exit status 1"),
			reason: "AppArmor is not enforced here, or has no profile acme_secure_profile"})
	}
	if r.root {
		return append(table, rootExceptions()...)
	}
	return append(table, rootlessExceptions()...)
}

func rootExceptions() []exception {
	var table []exception
	if lacking := lackingCaps(); len(lacking) > 0 {
		table = append(table, exception{cases: one("process_capabilities"), points: lacking,
			reason: "root lacks capabilities here, and can't grant them (config.md, Linux Process: a warning, no failure)"})
	}
	if !cgroup1("") {
		return append(table, exception{cases: append(controllers("blkio", "cpus", "devices", "hugetlb", "memory", "network", "pids"),
			"delete_resources", "delete_only_create_resources"), points: one(whatever), reason: "the suite reads cgroup v1 only, and this host has none"})
	}
	table = append(table, exception{cases: append(controllers("pids"), "delete_resources"), points: one("pids limit is set correctly"), instead: pidsLimit,
		reason: "the suite compares pointers to the limits (runc fails it too)"})
	if !cgroup1("blkio/blkio.leaf_weight") {
		table = append(table, exception{cases: controllers("blkio"), points: one("exit status 1"),
			reason: "this kernel has no blkio.leaf_weight, which went with the CFQ scheduler"})
	}
	if !cgroup1("hugetlb") {
		table = append(table, exception{cases: controllers("hugetlb"), points: one("exit status 1"), reason: "the hugetlb controller is not in cgroup v1 here"})
	}
	if !cgroup1("net_cls") || !cgroup1("net_prio") {
		table = append(table, exception{cases: controllers("network"), points: one("exit status 1"), reason: "the controllers net_cls and net_prio are not in cgroup v1 here"})
	}
	if !limitsKernelMemory() {
		table = append(table, exception{cases: controllers("memory"), points: one("memory kernel is set correctly"),
			reason: "this kernel takes no limit of kernel memory (memory.kmem.limit_in_bytes went with Linux 5.16)"})
	}
	return table
}

func rootlessExceptions() []exception {
	table := []exception{
		{cases: append(controllers("blkio", "cpus", "devices", "hugetlb", "memory", "network", "pids"), "delete_resources", "delete_only_create_resources"),
			points: one(whatever), reason: "the suite reads cgroup v1 only, which can't be delegated to a user"},
		{cases: one("linux_devices"), points: one("rootless containers use the host's device nodes"),
			reason: "the kernel lets no user namespace make device nodes; the nodes the suite asks for do not exist on the host"},
		{cases: []string{"linux_masked_paths", "linux_readonly_paths"}, points: one("operation not permitted"),
			reason: "after the points on files and directories the suite itself makes device nodes, which no user namespace may"},
	}
	if _, err := os.Stat("/dev/mqueue"); err != nil {
		table = append(table, exception{cases: one("linux_ns_itype"), points: one("cannot run validation tests"),
			reason: "mqueue of the host's IPC namespace can't be mounted in a user namespace, and the host has none at /dev/mqueue to show instead"})
	}
	return table
}

func one(s string) []string { return []string{s} }

// controllers are the cases of cgroup controllers, with absolute and with relative paths.
func controllers(names ...string) []string {
	var cases []string
	for _, n := range names {
		cases = append(cases, "linux_cgroups_"+n, "linux_cgroups_relative_"+n)
	}
	return cases
}

// cgroup1 reports whether a file of cgroup v1 is there; for "", whether there is any.
func cgroup1(file string) bool {
	if file == "" {
		mounts, err := os.ReadFile("/proc/self/mounts")
		return err == nil && strings.Contains(string(mounts), " cgroup ")
	}
	if dir, name := filepath.Split(file); dir != "" { // not in the topmost cgroup
		found, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", dir, "*", name))
		return err == nil && len(found) > 0
	}
	_, err := os.Stat(filepath.Join("/sys/fs/cgroup", file))
	return err == nil
}

func limitsKernelMemory() bool {
	const limit = 64 << 20
	dir, err := os.MkdirTemp("/sys/fs/cgroup/memory", "proa-test-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	file := filepath.Join(dir, "memory.kmem.limit_in_bytes")
	if os.WriteFile(file, []byte(strconv.Itoa(limit)), 0) != nil {
		return false
	}
	b, err := os.ReadFile(file)
	return err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(limit)
}

func hasAppArmorProfile(name string) bool {
	b, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	return err == nil && strings.Contains("\n"+string(b), "\n"+name+" ")
}

// lackingCaps are the points about capabilities this process can't give.
func lackingCaps() []string {
	var points []string
	names := map[int]string{ // those that a confined root is likely to lack
		12: "NET_ADMIN", 13: "NET_RAW", 16: "SYS_MODULE", 17: "SYS_RAWIO", 19: "SYS_PTRACE", 21: "SYS_ADMIN", 22: "SYS_BOOT",
		23: "SYS_NICE", 24: "SYS_RESOURCE", 25: "SYS_TIME", 26: "SYS_TTY_CONFIG", 27: "MKNOD", 30: "AUDIT_CONTROL",
		32: "MAC_OVERRIDE", 33: "MAC_ADMIN", 34: "SYSLOG", 35: "WAKE_ALARM", 36: "BLOCK_SUSPEND", 37: "AUDIT_READ", 38: "PERFMON", 39: "BPF", 40: "CHECKPOINT_RESTORE",
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(status), "CapPrm:")
	var have uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%x", &have); err != nil {
		return nil
	}
	for bit, name := range names {
		if have>>bit&1 == 0 {
			points = append(points, "capability CAP_"+name+" set")
		}
	}
	return points
}
