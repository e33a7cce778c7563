package perform

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// noJumps confines a look-up beneath a directory of procfs: no mount on top of it, no magic link out of it.
const noJumps = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS

// openTrusted writes and opens what needs the host's procfs, before the container's filesystem is in sight.
func (p *performer) openTrusted() error {
	if v := p.Process.OOMScoreAdj; v != nil {
		if err := writeTrusted("self/oom_score_adj", strconv.Itoa(*v)); err != nil {
			return fail("set oom_score_adj to "+strconv.Itoa(*v), err)
		}
	}
	var err error
	switch {
	case p.Process.AppArmor != "":
		p.attr, err = openTrusted("thread-self/attr/apparmor/exec", unix.O_WRONLY)
		if err == unix.ENOENT {
			p.attr, err = openTrusted("thread-self/attr/exec", unix.O_WRONLY)
		}
	case p.Process.SELinux != "":
		p.attr, err = openTrusted("thread-self/attr/exec", unix.O_WRONLY)
	}
	if err != nil {
		return fail("open the security label of the process", err)
	}
	if p.Init {
		if p.self, err = unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fail("open proa-init", err)
		}
	}
	return nil
}

// openProc opens a mount point and checks that it is procfs.
func openProc(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if !onProc(fd) {
		unix.Close(fd)
		return -1, unix.EXDEV
	}
	return fd, nil
}

func onProc(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}

// openTrusted opens a file of /proc before the pivot.
func openTrusted(name string, flags uint64) (int, error) {
	proc, err := openProc("/proc")
	if err != nil {
		return -1, err
	}
	defer unix.Close(proc)
	return unix.Openat2(proc, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: noJumps})
}

func writeTrusted(name, value string) error {
	fd, err := openTrusted(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

// reopen opens a handle again, with other flags, through a procfs known to be one.
func (p *performer) reopen(fd int, flags int) (int, error) {
	proc := p.proc
	if proc < 0 {
		var err error
		if proc, err = openProc("/proc"); err != nil {
			return -1, err
		}
		defer unix.Close(proc)
	}
	dir, err := unix.Openat2(proc, "thread-self/fd", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: noJumps,
	})
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	// The last component is a magic link on purpose; its directory was reached without one.
	return unix.Openat(dir, strconv.Itoa(fd), flags|unix.O_CLOEXEC, 0)
}

// setSysctls writes through the procfs the plan mounted; where it is not writable or there is none, through the
// host's: the files show the namespaces of the writer, whichever mount they are reached by.
func (p *performer) setSysctls() error {
	for _, s := range p.Sysctls {
		if err := p.setSysctl(s.Path, s.Value); err != nil {
			return fail("set the sysctl "+s.Path, err)
		}
	}
	return nil
}

func (p *performer) setSysctl(path, value string) error {
	var fd int
	err := error(unix.ENOENT)
	if p.proc >= 0 {
		fd, err = unix.Openat2(p.proc, "sys/"+path, &unix.OpenHow{Flags: unix.O_WRONLY | unix.O_CLOEXEC, Resolve: noJumps})
	}
	if err != nil {
		if fd, err = openTrusted("sys/"+path, unix.O_WRONLY); err != nil {
			return err
		}
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}
