package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/plan"
)

// Runtime performs the verbs of the OCI command line.
type Runtime struct {
	Store
	// OpenInit gives proa-init, as a file of which the runtime closes the descriptor. It is called beside other work.
	OpenInit func() (*os.File, error)
	// JoinHelper is described in oci/launch.
	JoinHelper    string
	SystemdCgroup bool
	// CompileSeccomp is described in Options.
	CompileSeccomp func(*specs.LinuxSeccomp) ([]byte, uint64, error)
}

// CreateOptions are what create and run take besides the bundle.
type CreateOptions struct {
	Bundle   string
	NoPivot  bool
	Preserve int // descriptors from 3 on to hand to the command
	// Console receives the terminal's master, when the process has a terminal.
	Console func(*os.File) error
	// Stdin, Stdout, Stderr are the command's; unused with a terminal.
	Stdin, Stdout, Stderr *os.File
	// Wait holds the command back until Start.
	Wait bool
}

// undo runs clean-up steps in reverse unless it was disarmed.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }
func (u *undo) run() {
	for i := len(*u) - 1; i >= 0; i-- {
		(*u)[i]()
	}
}

// Create makes a container. With opts.Wait its command waits for Start; without, it runs when Create returns. On
// failure nothing is left.
func (r *Runtime) Create(id string, opts CreateOptions) (rec *Record, proc *launch.Process, err error) {
	var u undo
	defer func() {
		if err != nil {
			u.run()
		}
	}()
	prog := r.openInit()
	defer prog.close()
	if opts.Bundle, err = filepath.Abs(opts.Bundle); err != nil {
		return nil, nil, err
	}
	config, err := readConfig(opts.Bundle)
	if err != nil {
		return nil, nil, err
	}
	dir, err := r.reserve(id)
	if err != nil {
		return nil, nil, err
	}
	u.add(func() { _ = os.RemoveAll(dir) })
	l := &launching{prog: prog, opts: opts}
	defer l.close()
	u.add(l.discard)
	l.hurry(id, config, r.SystemdCgroup)
	spec, err := parseConfig(config, opts.Bundle)
	if err != nil {
		return nil, nil, err
	}
	if spec.Process == nil && !opts.Wait {
		return nil, nil, errors.New("config.json: process is missing")
	}
	host := HostOptions()
	host.Bundle, host.NoPivot, host.CompileSeccomp = opts.Bundle, opts.NoPivot, r.CompileSeccomp
	rec = &Record{
		ID: id, Bundle: opts.Bundle, Annotations: spec.Annotations, Created: time.Now(), Owner: os.Getuid(),
		Systemd: r.SystemdCgroup, Rootless: host.UserNS || os.Geteuid() != 0, Config: newConfig(spec),
	}
	if rec.made, err = os.Stat(dir); err != nil {
		return nil, nil, err
	}
	made := rec // rec is nil by the time of the undoing
	cg, err := newCgroup(id, spec, r.SystemdCgroup, rec.Rootless)
	if err != nil {
		return nil, nil, err
	}
	l.rec, l.cg = rec, cg
	if cg != nil {
		u.add(func() { l.discard(); _ = cg.Destroy(); made.removeParents() })
		rec.noteParents(cg)
		if l.birth, err = birthplace(rec, cg, l.birth); err != nil {
			return nil, nil, err
		}
	}
	p, err := NewPlan(spec, host)
	if err != nil {
		return nil, nil, err
	}
	rec.Rootfs = p.Root.Path
	if err := checkRoot(p.Root.Path); err != nil {
		return nil, nil, err
	}
	if p.Process.Terminal && opts.Console == nil {
		return nil, nil, errors.New("config.json asks for a terminal: give --console-socket, or set process.terminal to false")
	}
	if p.SharedMounts() {
		if err := rec.noteRoot(); err != nil {
			return nil, nil, err
		}
		u.add(func() { _ = made.unmountRoot() })
	}
	proc, err = r.launch(l, p)
	if err != nil {
		return nil, nil, err
	}
	u.add(func() { _ = unix.PidfdSendSignal(int(proc.PidFD.Fd()), unix.SIGKILL, nil, 0); _, _ = proc.Wait() })
	if proc.Console != nil {
		if err := opts.Console(proc.Console); err != nil {
			return nil, nil, err
		}
	}
	if !opts.Wait {
		r.poststart(rec)
	}
	return rec, proc, nil
}

// checkRoot gives a clearer error than the init could.
func checkRoot(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("config.json: root.path: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("config.json: root.path %q is not a directory", path)
	}
	return nil
}

// launch starts the init and writes the record before the hooks that may ask for it.
func (r *Runtime) launch(l *launching, p *plan.Plan) (*launch.Process, error) {
	rec, cg, opts := l.rec, l.cg, l.opts
	prog, err := l.prog.file()
	if err != nil {
		return nil, err
	}
	c := &launch.Config{
		InitFD: prog, Plan: p, JoinHelper: r.JoinHelper,
		Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr,
	}
	if p.Process.Terminal {
		c.Stdin, c.Stdout = nil, nil
	}
	for fd := 3; fd < 3+opts.Preserve; fd++ {
		f := os.NewFile(uintptr(fd), "preserved")
		if f == nil {
			return nil, fmt.Errorf("preserve descriptor %d: it is not open", fd)
		}
		c.Preserve = append(c.Preserve, f)
	}
	if opts.Wait {
		fifo, err := makeFifo(r.fifo(rec.ID))
		if err != nil {
			return nil, err
		}
		defer fifo.Close()
		c.Fifo = fifo
	}
	maps, err := openIDMaps(p)
	if err != nil {
		return nil, err
	}
	for _, f := range maps {
		defer f.Close()
	}
	c.IDMaps = maps
	if cg != nil {
		if c.CgroupFD = l.birth; c.CgroupFD != nil {
			rec.CgroupPaths = cg.GetPaths()
		} else {
			p.Prepare = true
		}
	}
	c.Embryo = l.embryo()
	w := recordWriter{store: r.Store, rec: rec}
	c.Prepare = func(pid int) error {
		if p.Prepare {
			if err := enterCgroup(rec, cg, pid); err != nil {
				return err
			}
		}
		w.begin(pid)
		return nil
	}
	c.Hooks = func(pid int) ([]byte, error) {
		w.begin(pid)
		if err := w.end(); err != nil {
			return nil, err
		}
		return r.createRuntime(rec)
	}
	proc, err := launch.Start(c)
	if err != nil {
		_ = w.end()
		return nil, err
	}
	w.begin(proc.Pid)
	if err := w.end(); err != nil && !(errors.Is(err, fs.ErrNotExist) && !opts.Wait) {
		_ = unix.PidfdSendSignal(int(proc.PidFD.Fd()), unix.SIGKILL, nil, 0)
		_, _ = proc.Wait()
		return nil, err
	}
	return proc, nil
}

// recordWriter writes the record once, as soon as the pid is known, beside what the init does. It must be there
// before hooks, which may run the state command, and before create returns.
type recordWriter struct {
	store Store
	rec   *Record
	done  chan error
	err   error
}

func (w *recordWriter) begin(pid int) {
	if w.done != nil {
		return
	}
	w.done = make(chan error, 1)
	go func() {
		defer close(w.done)
		w.rec.Pid = pid
		var err error
		if w.rec.StartTime, err = launch.StartTime(pid); err == nil {
			err = w.store.save(w.rec)
		}
		w.done <- err
	}()
}

// end waits for the writing, if it was begun.
func (w *recordWriter) end() error {
	if w.done != nil {
		if err, first := <-w.done; first {
			w.err = err
		}
	}
	return w.err
}

// program is proa-init while it is being copied to memory, and then.
type program struct {
	done chan struct{}
	f    *os.File
	err  error
}

func (r *Runtime) openInit() *program {
	p := &program{done: make(chan struct{})}
	go func() {
		p.f, p.err = r.OpenInit()
		close(p.done)
	}()
	return p
}

func (p *program) file() (*os.File, error) {
	<-p.done
	return p.f, p.err
}

func (p *program) close() {
	if f, err := p.file(); err == nil {
		f.Close()
	}
}

func makeFifo(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o622); err != nil {
		return nil, fmt.Errorf("make the start fifo: %w", err)
	}
	if err := os.Chmod(path, 0o622); err != nil {
		return nil, fmt.Errorf("make the start fifo: %w", err)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open the start fifo: %w", err)
	}
	return os.NewFile(uintptr(fd), "fifo"), nil
}
