package driver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// command is what is of interest here in a process section of config.json.
type command struct {
	Args, Env []string
	Cwd       string
}

// mostInterpreters is how many scripts may have one another as their interpreters (BINPRM_BUF_SIZE and depth in the
// kernel's fs/exec.c).
const mostInterpreters = 5

// runnable tells what execve(2) will say of the command's format, which runtimes learn when nobody listens to them any
// more: 126 and 127 are for the error, and the container's own exit code for its command. Without an error it may be
// wrong still; what can't be looked at is left to the runtime.
func (r Runtime) runnable(verb string, c command) error {
	pid, err := readPID(r.path(pidFile))
	if err != nil || len(c.Args) == 0 {
		return nil
	}
	// The container's own view: its volumes lie over its root.
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	defer root.Close()
	for _, name := range c.candidates() {
		if f := openIn(root, name); f != nil {
			reason := badFormat(root, f, 0)
			if reason == "" {
				return nil
			}
			return &Error{Runtime: filepath.Base(r.Args[0]), Verb: verb, Text: fmt.Sprintf("execute %q: %s", c.Args[0], reason)}
		}
	}
	return nil
}

// created is the command of the container, as config.json has it.
func (r Runtime) created() (c command) {
	var config struct{ Process command }
	if b, err := os.ReadFile(r.path("config.json")); err == nil {
		_ = json.Unmarshal(b, &config)
	}
	return config.Process
}

// candidates are the paths that the command may be at.
func (c command) candidates() (list []string) {
	if strings.Contains(c.Args[0], "/") {
		return []string{path.Join("/", c.Cwd, c.Args[0])}
	}
	for _, kv := range slices.Backward(c.Env) {
		if dirs, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, dir := range filepath.SplitList(dirs) {
				list = append(list, path.Join("/", c.Cwd, dir, c.Args[0]))
			}
			break
		}
	}
	return list
}

// openIn opens an executable file in the container; nil when it can't.
func openIn(root *os.File, name string) *os.File {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), name, &how)
	if err != nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), name)
}

const wrongFormat = "exec format error: it is for another architecture, or a script without a #! line"

// badFormat is why the kernel will not execute f, which it closes; "" when it may.
func badFormat(root, f *os.File, depth int) string {
	defer f.Close()
	head := make([]byte, 256) // what the kernel looks at
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	interpreter := ""
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[2:], []byte{'\n'})
		word, _, _ := strings.Cut(strings.TrimLeft(string(line), " \t"), " ")
		interpreter = strings.TrimRight(word, "\t\r")
	case native(head):
		interpreter = loader(f, head)
	case !otherFormats():
		return wrongFormat
	}
	if !path.IsAbs(interpreter) || depth == mostInterpreters {
		return ""
	}
	if next := openIn(root, interpreter); next != nil {
		return badFormat(root, next, depth+1)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), interpreter, &how)
	if err == unix.ENOENT {
		return fmt.Sprintf("no such file or directory: its interpreter %s is missing in the container", interpreter)
	}
	if err == nil {
		unix.Close(fd)
	}
	return ""
}

// native tells whether head begins an ELF file of this machine, or of one that it may run the programs of (elf(5)).
func native(head []byte) bool {
	machines := map[string][]uint16{"amd64": {62, 3}, "arm64": {183, 40}, "riscv64": {243}, "ppc64le": {21}, "s390x": {22}, "loong64": {258}}[runtime.GOARCH]
	if len(head) < 64 || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return false
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if head[5] == 2 {
		order = binary.BigEndian
	}
	return machines == nil || slices.Contains(machines, order.Uint16(head[18:]))
}

// loader is the dynamic loader that a 64-bit little-endian ELF file asks for; "" for others and without one.
func loader(f *os.File, head []byte) string {
	le := binary.LittleEndian
	if head[4] != 2 || head[5] != 1 {
		return ""
	}
	table := make([]byte, min(64, int(le.Uint16(head[56:])))*56)
	if le.Uint16(head[54:]) != 56 {
		return ""
	}
	if _, err := f.ReadAt(table, int64(le.Uint64(head[32:]))); err != nil {
		return ""
	}
	for p := range slices.Chunk(table, 56) {
		if size := le.Uint64(p[32:]); le.Uint32(p) == 3 && size > 1 && size <= 4096 { // PT_INTERP
			name := make([]byte, size)
			if _, err := f.ReadAt(name, int64(le.Uint64(p[8:]))); err != nil {
				return ""
			}
			return string(bytes.TrimRight(name, "\x00"))
		}
	}
	return ""
}

// otherFormats tells whether the host runs programs of other formats, as those of other architectures by QEMU.
func otherFormats() bool {
	list, err := os.ReadDir("/proc/sys/fs/binfmt_misc")
	return err == nil && len(list) > 2 // register and status
}
