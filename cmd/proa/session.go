package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// session is a terminal or a set of streams that a foreground container uses.
type session struct {
	app      *app
	engine   *libpod.Engine
	ctr      *libpod.Container
	conn     *monitor.Conn
	stdin    bool
	sigProxy bool
	keys     []byte
	out, err io.Writer // nil: not attached to it
}

// attach carries the session until the container ends, is left by the detach keys, or proa's output is closed.
func (s *session) attach(ctx context.Context) (monitor.Exit, error) {
	restore, err := s.raw()
	if err != nil {
		return monitor.Exit{}, err
	}
	defer restore()
	ctx, hangUp := context.WithCancelCause(ctx)
	defer hangUp(nil)
	if s.sigProxy {
		defer s.proxySignals(hangUp)()
	}
	streams := libpod.Streams{Out: s.out, Err: s.err}
	if s.stdin && s.ctr.Log.Driver != "passthrough" { // there the container reads it itself
		streams.In = s.app.in
		if s.ctr.Terminal {
			streams.DetachKeys = s.keys
		}
	}
	exit, err := libpod.Stream(ctx, s.conn, streams)
	if err != nil && errors.Is(context.Cause(ctx), errHungUp) {
		err = errHungUp
	}
	return exit, err
}

// errHungUp says that the user's terminal went away: the container goes on.
var errHungUp = errors.New("the terminal was hung up")

// raw puts the user's terminal in raw mode for a container with one of its own, and follows its size.
func (s *session) raw() (restore func(), err error) {
	fd := int(s.app.in.Fd())
	if !s.ctr.Terminal || !term.IsTerminal(fd) {
		return func() {}, nil
	}
	stop := s.followSize(fd)
	if !s.stdin {
		return stop, nil
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		stop()
		return nil, err
	}
	return func() {
		stop()
		term.Restore(fd, old)
	}, nil
}

func (s *session) followSize(fd int) (stop func()) {
	winch := make(chan os.Signal, 1)
	signal.Notify(winch, syscall.SIGWINCH)
	send := func() {
		if size := terminalSize(fd); size.Width > 0 {
			s.conn.SendJSON(monitor.Resize, size)
		}
	}
	send()
	go func() {
		for range winch {
			send()
		}
	}()
	return func() { signal.Stop(winch); close(winch) }
}

func terminalSize(fd int) monitor.Size {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return monitor.Size{}
	}
	return monitor.Size{Width: ws.Col, Height: ws.Row}
}

// proxyLater is when the rarer signals are handed on as well: Go takes a thread's turn for each, milliseconds for all, in
// which a short container has ended.
const proxyLater = 20 * time.Millisecond

// proxySignals hands every signal that reaches proa to the container. SIGURG is Go's own, SIGCHLD and SIGPIPE are
// proa's, and those of job control act on proa as on any process. With its terminal proa goes too, whatever the container
// makes of the signal.
func (s *session) proxySignals(hangUp func(error)) (stop func()) {
	terminals := slices.DeleteFunc([]int{0, 1, 2}, func(fd int) bool { return !term.IsTerminal(fd) })
	gone := func(fd int) bool {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		return err == unix.EIO
	}
	all := make(chan os.Signal, 32)
	signal.Notify(all, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	later := time.AfterFunc(proxyLater, func() { signal.Notify(all, rareSignals()...) })
	go func() {
		for sig := range all {
			s.engine.Kill(s.ctr, unix.SignalName(sig.(syscall.Signal)))
			if sig == syscall.SIGHUP && slices.ContainsFunc(terminals, gone) {
				hangUp(errHungUp)
			}
		}
	}()
	return func() {
		later.Stop()
		signal.Stop(all)
	}
}

// rareSignals are those that proxySignals hands on beside the common ones.
func rareSignals() []os.Signal {
	var out []os.Signal
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
			syscall.SIGURG, syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGWINCH,
			syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT, syscall.SIGKILL, syscall.SIGSTOP:
		default:
			out = append(out, n)
		}
	}
	return out
}

// attachContext is ctx, but where signals go to the container they do not end proa.
func attachContext(ctx context.Context, sigProxy bool) context.Context {
	if sigProxy {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// ended maps the end of an attached session to proa's own: the container's exit status, or nothing after a detach.
func ended(exit monitor.Exit, err error) error {
	switch {
	case errors.Is(err, libpod.ErrDetached):
		return nil
	case errors.Is(err, errHungUp):
		return &exitError{code: 128 + int(syscall.SIGHUP)}
	case errors.Is(err, syscall.EPIPE):
		return &exitError{code: 128 + int(syscall.SIGPIPE)}
	case err != nil:
		return err
	case exit.Code != 0:
		return &exitError{code: exit.Code}
	}
	return nil
}
