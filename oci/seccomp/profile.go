// Package seccomp owns system call filters: the profile format of Docker and containers-common, what it means for a
// container with given capabilities, and compiling it with libseccomp, cached on disk. It runs in proa; the init only
// loads the result.
package seccomp

import (
	_ "embed" // the default profile
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// defaultJSON is containers-common's profile (Apache-2.0), for hosts that have none installed.
//
//go:embed default.json
var defaultJSON []byte

// systemPaths are where the distribution and the administrator keep the default profile, the latter first.
var systemPaths = []string{"/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"}

// profile is the file format: the runtime specification's, with conditions on capabilities, architecture and kernel.
type profile struct {
	DefaultAction   specs.LinuxSeccompAction `json:"defaultAction"`
	DefaultErrnoRet *uint                    `json:"defaultErrnoRet"`
	Architectures   []specs.Arch             `json:"architectures"`
	ArchMap         []struct {
		Arch     specs.Arch   `json:"architecture"`
		SubArchs []specs.Arch `json:"subArchitectures"`
	} `json:"archMap"`
	Flags    []specs.LinuxSeccompFlag `json:"flags"`
	Syscalls []struct {
		Name     string                   `json:"name"`
		Names    []string                 `json:"names"`
		Action   specs.LinuxSeccompAction `json:"action"`
		ErrnoRet *uint                    `json:"errnoRet"`
		Args     []specs.LinuxSeccompArg  `json:"args"`
		Includes condition                `json:"includes"`
		Excludes condition                `json:"excludes"`
	} `json:"syscalls"`
}

type condition struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// native are the names of this machine's architecture in seccomp and in Docker's conditions.
func native() (specs.Arch, string) {
	switch runtime.GOARCH {
	case "amd64":
		return specs.ArchX86_64, "amd64"
	case "arm64":
		return specs.ArchAARCH64, "arm64"
	case "riscv64":
		return specs.ArchRISCV64, "riscv64"
	case "ppc64le":
		return specs.ArchPPC64LE, "ppc64le"
	case "s390x":
		return specs.ArchS390X, "s390x"
	}
	return "", runtime.GOARCH
}

// Parse reads a profile for a container with the bounding capabilities caps.
func Parse(data []byte, caps []string) (*specs.LinuxSeccomp, error) {
	var p profile
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("reading the seccomp profile: %w", err)
	}
	if p.DefaultAction == "" {
		return nil, fmt.Errorf("reading the seccomp profile: it has no defaultAction")
	}
	out := &specs.LinuxSeccomp{DefaultAction: p.DefaultAction, DefaultErrnoRet: p.DefaultErrnoRet, Flags: p.Flags, Architectures: p.Architectures}
	seccompArch, dockerArch := native()
	for _, a := range p.ArchMap {
		if a.Arch == seccompArch {
			out.Architectures = append([]specs.Arch{a.Arch}, a.SubArchs...)
		}
	}
	for _, s := range p.Syscalls {
		if !s.Includes.all(caps, dockerArch) || s.Excludes.any(caps, dockerArch) {
			continue
		}
		names := s.Names
		if s.Name != "" {
			names = append([]string{s.Name}, names...)
		}
		out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: names, Action: s.Action, ErrnoRet: s.ErrnoRet, Args: s.Args})
	}
	return out, nil
}

// all tells whether every condition that is set holds.
func (c condition) all(caps []string, arch string) bool {
	for _, want := range c.Caps {
		if !slices.Contains(caps, want) {
			return false
		}
	}
	return (len(c.Arches) == 0 || slices.Contains(c.Arches, arch)) && (c.MinKernel == "" || kernelAtLeast(c.MinKernel))
}

// any tells whether one of the conditions holds.
func (c condition) any(caps []string, arch string) bool {
	for _, cap := range c.Caps {
		if slices.Contains(caps, cap) {
			return true
		}
	}
	return slices.Contains(c.Arches, arch) || c.MinKernel != "" && kernelAtLeast(c.MinKernel)
}

func kernelAtLeast(want string) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return newer(unix.ByteSliceToString(u.Release[:]), want)
}

func newer(have, want string) bool {
	var h, w [2]int
	fmt.Sscanf(have, "%d.%d", &h[0], &h[1])
	fmt.Sscanf(want, "%d.%d", &w[0], &w[1])
	return h[0] > w[0] || h[0] == w[0] && h[1] >= w[1]
}

// source is the profile in force: path, or the system's, or the built-in one. Its identity changes with its content.
func source(path string) (identity string, read func() ([]byte, error), err error) {
	paths := systemPaths
	if path != "" {
		paths = []string{path}
	}
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			if path != "" {
				return "", nil, fmt.Errorf("opening the seccomp profile: %w", err)
			}
			continue
		}
		return fmt.Sprintf("%s %d %d", p, st.ModTime().UnixNano(), st.Size()), func() ([]byte, error) { return os.ReadFile(p) }, nil
	}
	return "built-in " + fmt.Sprint(len(defaultJSON)), func() ([]byte, error) { return defaultJSON, nil }, nil
}
