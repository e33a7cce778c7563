package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Options of Find.
type Options struct {
	RunDir   string // proa's, where the place of proa.scope is remembered
	Rootless bool
	UID      int // of the user, outside of any namespace
	Pause    int // pid of the pause process, which keeps proa.scope alive; 0 without one
	Cgroupfs bool
}

// Find returns the place for containers' cgroups, making it when it is not there: under systemd that is asked of the
// user's manager once a login. It is ErrNone when there is none.
func Find(ctx context.Context, o Options) (*Place, error) {
	if !Unified() {
		return nil, ErrNone
	}
	self, err := Own(0)
	if err != nil {
		return nil, err
	}
	if !o.Cgroupfs && hasManager(o) {
		return findScope(ctx, o, self)
	}
	top := delegated(self)
	if top == "" {
		return nil, ErrNone
	}
	dir := filepath.Join(top, own)
	if self == dir || strings.HasPrefix(self, dir+"/") {
		dir = filepath.Join(top, own+"-"+strconv.Itoa(o.UID)) // proa within a container of proa's
	}
	if err := lay(top, dir, false); err != nil {
		return nil, err
	}
	return &Place{Dir: dir}, nil
}

// lay makes dir in top and enables what controllers there are for its children.
func lay(top, dir string, leaf bool) error {
	err := os.Mkdir(dir, 0o755)
	fresh := err == nil
	if leaf {
		err = os.Mkdir(filepath.Join(dir, own), 0o755)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the cgroup of proa's containers: %w", err)
	}
	if fresh || leaf {
		enable(top)
		enable(dir)
	}
	return nil
}

// memory is the file that remembers where proa.scope is.
const memory = "cgroup"

// findScope is Find under systemd.
func findScope(ctx context.Context, o Options, self string) (*Place, error) {
	p, err := remembered(o)
	if err != nil {
		return nil, err
	}
	if p == nil {
		if p, err = makeScope(ctx, o); err != nil {
			return nil, err
		}
	}
	p.Attach = !mayMove(self, p.Leaf)
	return p, nil
}

// remembered is the place of a proa.scope that is still there, nil when there is none.
func remembered(o Options) (*Place, error) {
	b, err := os.ReadFile(filepath.Join(o.RunDir, memory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding proa's cgroup: %w", err)
	}
	p := &Place{Dir: string(b), Leaf: filepath.Join(string(b), own), Systemd: true}
	// systemd removes the cgroup of a scope with its last process.
	if !writable(p.Leaf) {
		return nil, nil
	}
	return p, nil
}

// makeScope makes proa.scope, with one lock for all who would.
func makeScope(ctx context.Context, o Options) (*Place, error) {
	lock, err := os.OpenFile(filepath.Join(o.RunDir, memory+".lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making proa's cgroup: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("making proa's cgroup: %w", err)
	}
	if p, err := remembered(o); p != nil || err != nil {
		return p, err
	}
	keeper := o.Pause
	if keeper == 0 {
		keeper = os.Getpid()
	}
	dir, err := startScope(ctx, o, keeper)
	if err != nil {
		return nil, err
	}
	p := &Place{Dir: dir, Leaf: filepath.Join(dir, own), Systemd: true}
	if err := os.Mkdir(p.Leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making proa's cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(p.Leaf, "cgroup.procs"), []byte(strconv.Itoa(keeper)), 0); err != nil {
		return nil, fmt.Errorf("moving process %d into proa's cgroup: %w", keeper, err)
	}
	enable(dir)
	if err := os.WriteFile(filepath.Join(o.RunDir, memory), []byte(dir), 0o600); err != nil {
		return nil, fmt.Errorf("remembering proa's cgroup: %w", err)
	}
	return p, nil
}
