package seccomp

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

var dockerCaps = []string{"CAP_CHOWN", "CAP_KILL", "CAP_SYS_CHROOT"}

// run interprets a filter for one system call of this machine's architecture.
func run(t *testing.T, filter []byte, nr uint32, args ...uint64) uint32 {
	t.Helper()
	if len(filter) == 0 || len(filter)%8 != 0 {
		t.Fatalf("a filter of %d bytes", len(filter))
	}
	var raw []bpf.RawInstruction
	for i := 0; i < len(filter); i += 8 {
		raw = append(raw, bpf.RawInstruction{Op: binary.NativeEndian.Uint16(filter[i:]), Jt: filter[i+2], Jf: filter[i+3], K: binary.NativeEndian.Uint32(filter[i+4:])})
	}
	prog, all := bpf.Disassemble(raw)
	if !all {
		t.Fatal("not a BPF program")
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	// The interpreter loads big-endian words from what is in the kernel a struct seccomp_data of native ones.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data, nr)
	binary.BigEndian.PutUint32(data[4:], auditArch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	ret, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(ret)
}

const (
	allow = 0x7fff0000
	errno = 0x00050000
)

func TestDefaultProfile(t *testing.T) {
	for _, c := range []struct {
		name string
		nr   uint32
		caps []string
		want uint32
	}{
		{"read", sysRead, dockerCaps, allow},
		{"init_module", sysModule, dockerCaps, errno},
		{"bpf", sysBPF, dockerCaps, errno},
		{"bpf with its capability", sysBPF, append([]string{"CAP_SYS_ADMIN", "CAP_BPF"}, dockerCaps...), allow},
		{"init_module with its capability", sysModule, append([]string{"CAP_SYS_MODULE"}, dockerCaps...), allow},
	} {
		s, err := Parse(defaultJSON, c.caps)
		if err != nil {
			t.Fatal(err)
		}
		filter, _, err := Compile(s, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, filter, c.nr, 0, 0, 0, 0, 0, 0); got&0xffff0000 != c.want {
			t.Errorf("%s: the filter returns %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestCompileActionsAndArguments(t *testing.T) {
	code := uint(38)
	filter, flags, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Flags:         []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"bpf", "no_such_call"}, Action: specs.ActErrno, ErrnoRet: &code},
			{Names: []string{"keyctl"}, Action: specs.ActKillProcess},
			{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 7, Op: specs.OpEqualTo}}},
		},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	if flags != 2 {
		t.Errorf("flags %#x, want SECCOMP_FILTER_FLAG_LOG", flags)
	}
	for _, c := range []struct {
		nr   uint32
		arg  uint64
		want uint32
	}{{sysBPF, 0, errno | 38}, {sysKeyctl, 0, 0x80000000}, {sysRead, 7, errno | 1}, {sysRead, 8, allow}, {sysMount, 0, allow}} {
		if got := run(t, filter, c.nr, c.arg, 0, 0, 0, 0, 0); got != c.want {
			t.Errorf("system call %d(%d): %#x, want %#x", c.nr, c.arg, got, c.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for want, s := range map[string]*specs.LinuxSeccomp{
		"SCMP_ACT_WONDER": {DefaultAction: "SCMP_ACT_WONDER"},
		"SCMP_ARCH_PDP11": {DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_PDP11"}},
		"FLAG_WONDER":     {DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"FLAG_WONDER"}},
		"SCMP_CMP_WONDER": {DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_WONDER"}}}}},
	} {
		if _, _, err := Compile(s, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestParseConditions(t *testing.T) {
	const text = `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
		{"names": ["always"], "action": "SCMP_ACT_ALLOW"},
		{"name": "old", "action": "SCMP_ACT_ALLOW"},
		{"names": ["with"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
		{"names": ["without"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF"]}},
		{"names": ["elsewhere"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["pdp11"]}},
		{"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
		{"names": ["past"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "2.6"}}]}`
	for _, c := range []struct{ caps, want []string }{
		{nil, []string{"always", "old", "without", "past"}},
		{[]string{"CAP_BPF"}, []string{"always", "old", "with", "past"}},
	} {
		s, err := Parse([]byte(text), c.caps)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, sc := range s.Syscalls {
			got = append(got, sc.Names...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("with %q: %q, want %q", c.caps, got, c.want)
		}
	}
	for _, bad := range []string{"", "{", "{}", "[]"} {
		if _, err := Parse([]byte(bad), nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestDefaultIsCached(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	profile := filepath.Join(t.TempDir(), "profile.json")
	write := func(action string) {
		t.Helper()
		if err := os.WriteFile(profile, []byte(`{"defaultAction": "`+action+`"}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	get := func(caps ...string) Filter {
		t.Helper()
		f, err := Default(profile, caps, dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	write("SCMP_ACT_ALLOW")
	first := get()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("the cache holds %v, %v; want one file", files, err)
	}
	cacheFile := filepath.Join(dir, files[0].Name())
	if st, err := os.Stat(cacheFile); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the cache file has mode %v, %v", st.Mode(), err)
	}
	// What is cached is used: the filter comes from the file, not from the profile.
	mark := append(make([]byte, 8), "eight by"...)
	if err := os.WriteFile(cacheFile, mark, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := get(); string(got.BPF) != "eight by" {
		t.Errorf("the filter was compiled again: %q", got.BPF)
	}
	if got := get("CAP_KILL"); string(got.BPF) != string(first.BPF) {
		t.Errorf("other capabilities took the cached filter")
	}
	if err := os.WriteFile(cacheFile, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := get(); string(got.BPF) != string(first.BPF) {
		t.Errorf("a torn cache file was believed: %q", got.BPF)
	}
	write("SCMP_ACT_KILL_PROCESS")
	if got := get(); string(got.BPF) == string(first.BPF) {
		t.Error("a changed profile has the filter of the old one")
	}
	if err := os.WriteFile(profile, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Default(profile, nil, dir); err == nil || !strings.Contains(err.Error(), profile) {
		t.Errorf("a broken profile: %v", err)
	}
	if _, err := Default(filepath.Join(dir, "none"), nil, dir); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a profile that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(defaultJSON[:200])
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":9}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b, dockerCaps)
		if err != nil {
			return
		}
		if filter, _, err := Compile(s, ""); err == nil && len(filter)%8 != 0 {
			t.Errorf("a filter of %d bytes", len(filter))
		}
	})
}
