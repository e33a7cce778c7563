package initbin

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// seals forbid every change: a container that reaches the file through /proc/PID/exe can't overwrite it
// (CVE-2019-5736).
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL

// sealTries is how often the seals are tried while pages are in use.
const sealTries = 20

// Open returns proa-init as a sealed memfd: the one that the process pausePID runs from when it is of this build, so
// that all monitors share its pages, else a fresh copy. pausePID may be 0.
func Open(pausePID int) (*os.File, error) {
	if pausePID > 0 {
		if f := shared(pausePID); f != nil {
			return f, nil
		}
	}
	return seal(Binary())
}

// name carries the build's id, made by the Makefile: hashing 2 MB here would cost a millisecond of every command.
func name() string { return "proa-init-" + strings.TrimSpace(id) }

func shared(pid int) *os.File {
	path := fmt.Sprintf("/proc/%d/exe", pid)
	link, err := os.Readlink(path)
	if err != nil || !strings.HasPrefix(link, "/memfd:"+name()+" ") {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	if got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || got&seals != seals {
		f.Close()
		return nil
	}
	return f
}

func seal(binary []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name(), unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 there is no MFD_EXEC
		fd, err = unix.MemfdCreate(name(), unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("making a memory file for proa-init: %w", err)
	}
	f := os.NewFile(uintptr(fd), "proa-init")
	if _, err := f.Write(binary); err != nil {
		f.Close()
		return nil, fmt.Errorf("copying proa-init to memory: %w", err)
	}
	// The kernel waits 150 ms for whoever has one of the pages in use, as the reclaim on another processor, and then gives up
	// with EBUSY (memfd_wait_for_pins in mm/memfd.c).
	for range sealTries {
		if _, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != unix.EBUSY {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("sealing proa-init: %w", err)
	}
	return f, nil
}
