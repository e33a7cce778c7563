package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter is a compiled profile: an array of struct sock_filter, and flags for seccomp(2).
type Filter struct {
	BPF   []byte
	Flags uint64
}

// Default is the filter for a container with the bounding capabilities caps by the profile at path, or by the
// system's when path is empty. It is cached in cacheDir: the profile is then neither read nor compiled.
func Default(path string, caps []string, cacheDir string) (Filter, error) {
	identity, read, err := source(path)
	if err != nil {
		return Filter{}, err
	}
	var u unix.Utsname
	unix.Uname(&u)
	key := identity + "\n" + unix.ByteSliceToString(u.Release[:]) + "\n" + strings.Join(caps, ",")
	return cached(key, cacheDir, func() (Filter, error) {
		data, err := read()
		if err != nil {
			return Filter{}, fmt.Errorf("reading the seccomp profile: %w", err)
		}
		s, err := Parse(data, caps)
		if err == nil {
			var f Filter
			if f, err = compile(s); err == nil {
				return f, nil
			}
		}
		if path != "" {
			err = fmt.Errorf("%q: %w", path, err)
		}
		return Filter{}, err
	})
}

// Load is the profile at path, or the system's, as config.json has it.
func Load(path string, caps []string) (*specs.LinuxSeccomp, error) {
	identity, read, err := source(path)
	if err != nil {
		return nil, err
	}
	data, err := read()
	if err != nil {
		return nil, fmt.Errorf("reading the seccomp profile: %w", err)
	}
	s, err := Parse(data, caps)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Fields(identity)[0], err)
	}
	return s, nil
}

// Compile turns the seccomp section of config.json into a filter, cached in cacheDir unless that is empty.
func Compile(s *specs.LinuxSeccomp, cacheDir string) ([]byte, uint64, error) {
	key, err := json.Marshal(s)
	if err != nil {
		return nil, 0, fmt.Errorf("compiling the seccomp profile: %w", err)
	}
	f, err := cached(string(key), cacheDir, func() (Filter, error) { return compile(s) })
	return f.BPF, f.Flags, err
}

// cached returns what is stored for key, or makes and stores it. A cache file is the 8-byte flags and the filter; one
// that can't be read or written costs time, never the container.
func cached(key, dir string, make func() (Filter, error)) (Filter, error) {
	if dir == "" {
		return make()
	}
	major, minor, micro := libseccomp.GetLibraryVersion()
	sum := sha256.Sum256(fmt.Appendf(nil, "tree %d.%d.%d\n%s", major, minor, micro, key))
	path := filepath.Join(dir, "seccomp-"+hex.EncodeToString(sum[:]))
	if b, err := os.ReadFile(path); err == nil && len(b) > 8 && len(b)%8 == 0 {
		return Filter{BPF: b[8:], Flags: binary.LittleEndian.Uint64(b)}, nil
	}
	f, err := make()
	if err != nil {
		return f, err
	}
	store(path, append(binary.LittleEndian.AppendUint64(nil, f.Flags), f.BPF...))
	return f, nil
}

func store(path string, b []byte) {
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".seccomp-")
	if err != nil {
		return
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
}

func compile(s *specs.LinuxSeccomp) (Filter, error) {
	fail := func(err error) (Filter, error) { return Filter{}, fmt.Errorf("compiling the seccomp profile: %w", err) }
	def, err := action(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return fail(err)
	}
	f, err := libseccomp.NewFilter(def)
	if err != nil {
		return fail(err)
	}
	defer f.Release()
	if err := f.SetNoNewPrivsBit(false); err != nil {
		return fail(err)
	}
	// A binary tree of system call numbers: every call, and the kernel's own run over all of them when the filter is
	// installed, takes a dozen steps instead of hundreds. A libseccomp before 2.5 makes a chain.
	_ = f.SetOptimize(2)
	for _, a := range s.Architectures {
		arch, err := libseccomp.GetArchFromString(strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")))
		if err != nil {
			return fail(fmt.Errorf("architecture %q: %w", a, err))
		}
		if err := f.AddArch(arch); err != nil {
			return fail(fmt.Errorf("architecture %q: %w", a, err))
		}
	}
	for _, sc := range s.Syscalls {
		if err := addSyscall(f, def, sc); err != nil {
			return fail(err)
		}
	}
	flags, err := filterFlags(s.Flags)
	if err != nil {
		return fail(err)
	}
	bpf, err := export(f)
	if err != nil {
		return fail(err)
	}
	return Filter{bpf, flags}, nil
}

// export goes through a memory file: exporting to memory needs libseccomp 2.6.
func export(f *libseccomp.ScmpFilter) ([]byte, error) {
	fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "seccomp")
	defer file.Close()
	if err := f.ExportBPF(file); err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
}

func addSyscall(f *libseccomp.ScmpFilter, def libseccomp.ScmpAction, sc specs.LinuxSyscall) error {
	act, err := action(sc.Action, sc.ErrnoRet)
	if err != nil {
		return err
	}
	if act == def {
		return nil // libseccomp refuses a rule that says what holds anyway
	}
	for _, name := range sc.Names {
		num, err := libseccomp.GetSyscallFromName(name)
		if err != nil {
			continue // not a call of this architecture or kernel: it can't be made either
		}
		conds, err := conditions(sc.Args)
		if err != nil {
			return fmt.Errorf("system call %q: %w", name, err)
		}
		if len(conds) == 0 {
			err = f.AddRule(num, act)
		} else {
			err = f.AddRuleConditional(num, act, conds)
		}
		if err != nil {
			return fmt.Errorf("system call %q: %w", name, err)
		}
	}
	return nil
}

func conditions(args []specs.LinuxSeccompArg) ([]libseccomp.ScmpCondition, error) {
	ops := map[specs.LinuxSeccompOperator]libseccomp.ScmpCompareOp{
		specs.OpNotEqual: libseccomp.CompareNotEqual, specs.OpLessThan: libseccomp.CompareLess,
		specs.OpLessEqual: libseccomp.CompareLessOrEqual, specs.OpEqualTo: libseccomp.CompareEqual,
		specs.OpGreaterEqual: libseccomp.CompareGreaterEqual, specs.OpGreaterThan: libseccomp.CompareGreater,
		specs.OpMaskedEqual: libseccomp.CompareMaskedEqual,
	}
	var out []libseccomp.ScmpCondition
	for _, a := range args {
		op, ok := ops[a.Op]
		if !ok {
			return nil, fmt.Errorf("unknown comparison %q", a.Op)
		}
		values := []uint64{a.Value}
		if a.Op == specs.OpMaskedEqual {
			values = []uint64{a.Value, a.ValueTwo}
		}
		c, err := libseccomp.MakeCondition(a.Index, op, values...)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func action(a specs.LinuxSeccompAction, errno *uint) (libseccomp.ScmpAction, error) {
	code := int16(unix.EPERM)
	if errno != nil {
		code = int16(*errno)
	}
	switch a {
	case specs.ActAllow:
		return libseccomp.ActAllow, nil
	case specs.ActErrno:
		return libseccomp.ActErrno.SetReturnCode(code), nil
	case specs.ActKill, specs.ActKillThread:
		return libseccomp.ActKillThread, nil
	case specs.ActKillProcess:
		return libseccomp.ActKillProcess, nil
	case specs.ActTrap:
		return libseccomp.ActTrap, nil
	case specs.ActTrace:
		return libseccomp.ActTrace.SetReturnCode(code), nil
	case specs.ActLog:
		return libseccomp.ActLog, nil
	}
	return 0, fmt.Errorf("action %q is not supported", a)
}

func filterFlags(names []specs.LinuxSeccompFlag) (flags uint64, err error) {
	for _, n := range names {
		switch n {
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case "SECCOMP_FILTER_FLAG_TSYNC": // the init has one thread that matters
		default:
			return 0, fmt.Errorf("flag %q is not supported", n)
		}
	}
	return flags, nil
}
