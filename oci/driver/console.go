package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// consoleTime is how many seconds the runtime, which has ended by then, has had to hand over the terminal.
const consoleTime = 10

// console is the socket on which a runtime hands over the master of a pseudoterminal.
type console struct {
	fd, dir int
	file    string
	path    string // for the runtime
}

// listenConsole makes a console socket in dir. A socket's path may have 107 bytes only (unix(7)), and a bundle's is
// longer: the path leads through a descriptor of this process.
func listenConsole(dir string) (*console, error) {
	c := &console{file: filepath.Join(dir, "console")}
	var err error
	if c.dir, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("listening for the terminal: %w", err)
	}
	c.path = fmt.Sprintf("/proc/%d/fd/%d/console", os.Getpid(), c.dir)
	if c.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		unix.Close(c.dir)
		return nil, fmt.Errorf("listening for the terminal: %w", err)
	}
	unix.Unlink(c.file)
	err = errors.Join(
		unix.Bind(c.fd, &unix.SockaddrUnix{Name: c.path}),
		unix.Listen(c.fd, 1),
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: consoleTime}),
	)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("listening for the terminal: %w", err)
	}
	return c, nil
}

func (c *console) close() {
	unix.Unlink(c.file)
	unix.Close(c.fd)
	unix.Close(c.dir)
}

// receive takes the master that the runtime has sent.
func (c *console) receive() (*os.File, error) {
	fd, _, err := unix.Accept4(c.fd, unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: consoleTime}); err != nil {
		return nil, err
	}
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(fd, name, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil || len(fds) != 1 {
			continue
		}
		if err := unix.SetNonblock(fds[0], true); err != nil {
			unix.Close(fds[0])
			return nil, err
		}
		return os.NewFile(uintptr(fds[0]), "console"), nil
	}
	return nil, errors.New("it sent no descriptor")
}
