package perform

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// openConsole makes a terminal in the container's own devpts, sends its master to the launcher, makes the slave
// this process's standard streams and binds it to /dev/console. The slave is opened from the master, never by name.
func (p *performer) openConsole() error {
	if !p.Process.Terminal {
		return nil
	}
	pts := p.devpts
	if pts < 0 {
		var err error
		if pts, err = p.inRoot("/dev/pts", unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS); err != nil {
			return fail("open /dev/pts for a terminal", err)
		}
		defer unix.Close(pts)
	}
	slave, err := p.newTerminal(pts)
	if err != nil {
		return err
	}
	if err := p.bindConsole(slave); err != nil {
		return fail("bind the terminal to /dev/console", err)
	}
	return p.useTerminal(slave)
}

// newTerminal opens a pty in a directory verified to be devpts.
func (p *performer) newTerminal(pts int) (int, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(pts, &st); err != nil {
		return -1, fail("open a terminal", err)
	}
	if st.Type != unix.DEVPTS_SUPER_MAGIC {
		return -1, &plan.Error{Step: "open a terminal", Text: "/dev/pts is not devpts in this container"}
	}
	master, err := unix.Openat2(pts, "ptmx", &unix.OpenHow{
		Flags:   unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return -1, fail("open a terminal", err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, fail("unlock the terminal", err)
	}
	peer, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return -1, fail("open the terminal's slave", e)
	}
	slave := int(peer)
	if p.Process.ConsoleRows|p.Process.ConsoleCols != 0 {
		size := &unix.Winsize{Row: p.Process.ConsoleRows, Col: p.Process.ConsoleCols}
		if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, size); err != nil {
			return -1, fail("set the size of the terminal", err)
		}
	}
	if err := p.link.sendFD(plan.MsgConsole, master); err != nil {
		return -1, fail("send the terminal to the launcher", err)
	}
	return slave, nil
}

func (p *performer) bindConsole(slave int) error {
	fd, err := unix.OpenTree(slave, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	target, err := p.target("/dev/console", false, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(fd, target)
}

// useTerminal makes the slave the standard streams, and the controlling terminal of a new session.
func (p *performer) useTerminal(slave int) error {
	if err := unix.Fchown(slave, int(p.Process.UID), -1); err != nil && err != unix.EPERM && err != unix.EROFS {
		return fail("own the terminal", err)
	}
	for fd := range 3 {
		if err := unix.Dup3(slave, fd, 0); err != nil {
			return fail("use the terminal as descriptor "+strconv.Itoa(fd), err)
		}
	}
	unix.Close(slave)
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return fail("start a session", err)
	}
	if err := unix.IoctlSetInt(0, unix.TIOCSCTTY, 0); err != nil {
		return fail("take the terminal", err)
	}
	return nil
}

// ownStreams gives the standard streams to the user, so that /dev/stdout can be opened again through /proc.
func (p *performer) ownStreams() {
	if p.Process.Terminal || p.Process.UID == 0 {
		return
	}
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			continue
		}
		// Ids that are not mapped here can't be changed; the stream works all the same, it only can't be re-opened.
		_ = unix.Fchown(fd, int(p.Process.UID), int(p.Process.GID))
	}
}
