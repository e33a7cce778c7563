package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An uplink that ends is started again after a pause that doubles from the first to the last; one that lived for steady
// begins anew.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
	steady     = time.Minute
	startTime  = 10 * time.Second // for the interface to be there
	lookTime   = 10 * time.Second // for programs to tell what they are
)

// Holder keeps an uplink alive.
type Holder struct {
	ns     Namespace
	o      Options
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	info  Info
	err   error
	tried chan struct{} // closed when the first attempt has ended, well or not
}

// Start begins to make an uplink and returns at once. Networks work locally where none can be had; Wait and Info tell why.
func Start(ns Namespace, o Options, log *slog.Logger) *Holder {
	ctx, cancel := context.WithCancel(context.Background())
	h := &Holder{ns: ns, o: o, log: log, cancel: cancel, done: make(chan struct{}), tried: make(chan struct{}), err: errors.New("the uplink is being started")}
	go func() {
		// A child that is to end with this process ends with the thread that started it (prctl(2), PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(h.done)
		h.keep(ctx)
	}()
	return h
}

// Wait waits until the first attempt has ended and tells why there is no uplink, nil where there is one.
func (h *Holder) Wait(ctx context.Context) error {
	select {
	case <-h.tried:
	case <-ctx.Done():
		return fmt.Errorf("wait for the uplink: %w", ctx.Err())
	}
	_, err := h.Info()
	return err
}

// Info tells what the uplink is now, and with an error why there is none.
func (h *Holder) Info() (Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.info, h.err
}

// Host is how containers call the host: by the gateways where its loopback is open to them, else by the address that the
// host has in its own network, if any, on which its other services listen. It changes as that network does.
func (h *Holder) Host() []netip.Addr {
	if h.o.HostLoopback {
		info, _ := h.Info()
		return info.Gateways
	}
	return hostAddresses()
}

// Close ends the uplink and waits for that.
func (h *Holder) Close() error {
	h.cancel()
	<-h.done
	return nil
}

func (h *Holder) set(info Info, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	info.Restarts = h.info.Restarts
	if h.info.Name != "" {
		info.Restarts++
	}
	h.info, h.err = info, err
	select {
	case <-h.tried:
	default:
		close(h.tried)
	}
}

func (h *Holder) lost(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// keep starts uplinks until ctx ends: the best that can be had each time, as a host's network and packages change.
func (h *Holder) keep(ctx context.Context) {
	if h.o.Use == None {
		h.set(Info{}, ErrNone)
		return
	}
	told := ""
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := h.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err.Error() != told {
			told = err.Error()
			h.log.Warn("uplink", "error", err)
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// run has one uplink carry until it ends.
func (h *Holder) run(ctx context.Context) error {
	var refused []string
	candidates, err := h.candidates()
	if err != nil {
		h.set(Info{}, err)
		return err
	}
	for _, u := range candidates {
		looking, cancel := context.WithTimeout(ctx, lookTime)
		version, err := u.look(looking)
		cancel()
		var p *process
		l := newLink(h.o.mtu(), hostNetworks(), u)
		if err == nil {
			p, err = h.start(ctx, u, l)
		}
		if err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", u.name(), err))
			continue
		}
		h.set(Info{Name: u.name(), Version: version, Interface: Interface, Addresses: l.addresses, Gateways: l.gateways,
			MTU: l.mtu, Refused: refused}, nil)
		h.log.Info("uplink", "name", u.name(), "version", version, "process", p.cmd.Process.Pid)
		select {
		case <-ctx.Done():
			p.end()
			return ctx.Err()
		case <-p.ended:
		}
		err = fmt.Errorf("%s ended: %w", u.name(), p.reason())
		h.lost(err)
		return err
	}
	err = fmt.Errorf("containers have no way out of this host, as no uplink can be had: %s", strings.Join(refused, "; "))
	h.set(Info{Refused: refused}, err)
	return err
}

// candidates are the uplinks to try, the best first.
func (h *Holder) candidates() ([]uplink, error) {
	switch h.o.Use {
	case "":
		return []uplink{pasta{}, &embedded{h.o.Serve}, slirp{}}, nil
	case Pasta:
		return []uplink{pasta{}}, nil
	case Slirp:
		return []uplink{slirp{}}, nil
	case Embedded:
		return []uplink{&embedded{h.o.Serve}}, nil
	}
	return nil, fmt.Errorf("uplink %q is unknown: it is one of %s, %s, %s, %s", h.o.Use, Pasta, Slirp, Embedded, None)
}

// process is a program that runs.
type process struct {
	cmd   *exec.Cmd
	said  *tail
	err   error // of Wait, when ended is closed
	ended chan struct{}
}

// start starts a program and configures its interface once it is there.
func (h *Holder) start(ctx context.Context, u uplink, l link) (*process, error) {
	if err := h.ns.In(removeTap); err != nil {
		return nil, fmt.Errorf("remove the former interface %s: %w", Interface, err)
	}
	cmd, err := u.command(h.ns, h.o, l)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, said: &tail{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait() // by a pidfd
		close(p.ended)
	}()
	if err := h.configure(ctx, p, l); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// configure waits for the interface.
func (h *Holder) configure(ctx context.Context, p *process, l link) error {
	for deadline := time.Now().Add(startTime); ; {
		found := false
		err := h.ns.In(func() (err error) {
			found, err = l.configure()
			return err
		})
		if err != nil || found {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return fmt.Errorf("it ended: %w", p.reason())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it made no interface in %s", startTime)
		}
	}
}

func (p *process) end() {
	p.cmd.Process.Kill()
	<-p.ended
}

// reason is why the process ended: what it said last, or the signal that it was sent.
func (p *process) reason() error {
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return p.err
	}
	if said := p.said.line(); said != "" {
		return errors.New(said)
	}
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 4096; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(p), nil
}

// line is the last line that says something.
func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
