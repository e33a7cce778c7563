package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// sendConsole gives a terminal's master to the engine that listens on a unix socket (--console-socket).
func sendConsole(path string) func(*os.File) error {
	if path == "" {
		return nil
	}
	return func(master *os.File) error {
		defer master.Close()
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return fmt.Errorf("connect to the console socket: %w", err)
		}
		defer conn.Close()
		if _, _, err := conn.WriteMsgUnix([]byte("/dev/ptmx"), unix.UnixRights(int(master.Fd())), nil); err != nil {
			return fmt.Errorf("send the terminal to %q: %w", path, err)
		}
		return nil
	}
}

// relay is a foreground session on a container's terminal.
type relay struct {
	master *os.File
	raw    *term.State
	done   chan struct{}
	sizes  chan os.Signal
}

// start connects the caller's terminal with the container's.
func (r *relay) start(master *os.File) error {
	r.master, r.done, r.sizes = master, make(chan struct{}), make(chan os.Signal, 1)
	in := int(os.Stdin.Fd())
	if term.IsTerminal(in) {
		state, err := term.MakeRaw(in)
		if err != nil {
			return fmt.Errorf("put the terminal in raw mode: %w", err)
		}
		r.raw = state
		r.resize()
		signal.Notify(r.sizes, unix.SIGWINCH)
		go func() {
			for range r.sizes {
				r.resize()
			}
		}()
	}
	go func() { _, _ = io.Copy(master, os.Stdin) }()
	go func() {
		defer close(r.done)
		_, _ = io.Copy(os.Stdout, master) // ends with EIO when the last process closes the slave
	}()
	return nil
}

func (r *relay) resize() {
	if size, err := unix.IoctlGetWinsize(int(os.Stdin.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(r.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// stop restores the caller's terminal.
func (r *relay) stop() {
	if r.master == nil {
		return
	}
	<-r.done
	if r.raw != nil {
		signal.Stop(r.sizes)
		close(r.sizes)
		_ = term.Restore(int(os.Stdin.Fd()), r.raw)
	}
	r.master.Close()
}
