package layers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/build/edit"
	"github.com/proa-containers/proa/build/sandbox"
	"github.com/proa-containers/proa/oci/spec"
)

// mounter gives a command the mounts that LLB wants, and takes them away.
type mounter struct {
	solver  *Solver
	vertex  *vertex
	command *sandbox.Command
	in      []tree
	undo    []func() error
	count   int
}

func (m *mounter) close() error {
	var errs []error
	for _, f := range slices.Backward(m.undo) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (m *mounter) then(f func() error) { m.undo = append(m.undo, f) }

// path is a new name in the command's directory.
func (m *mounter) path() string {
	m.count++
	return filepath.Join(m.command.Dir, fmt.Sprint("mount", m.count))
}

func (m *mounter) add(ctx context.Context, mount *pb.Mount) error {
	switch mount.MountType {
	case pb.MountType_BIND:
		return m.files(ctx, mount)
	case pb.MountType_CACHE:
		return m.cache(ctx, mount)
	case pb.MountType_TMPFS:
		return m.tmpfs(mount)
	case pb.MountType_SECRET:
		return m.secret(mount)
	case pb.MountType_SSH:
		return m.agent(mount)
	}
	return fmt.Errorf("the type %v is not supported", mount.MountType)
}

// bind mounts what is at source in the command's tree.
func (m *mounter) bind(source, target string, readonly bool) {
	var options []string
	if readonly {
		options = []string{"ro"}
	}
	m.command.Config.Mounts.List = append(m.command.Config.Mounts.List, spec.Mount{Type: "bind", Source: source, Target: target, Options: options})
}

// attach mounts a detached mount in the command's directory, in this process's own mount namespace.
func (m *mounter) attach(f *os.File, dir bool) (string, error) {
	at := m.path()
	var err error
	if dir {
		err = os.Mkdir(at, 0o755)
	} else {
		err = os.WriteFile(at, nil, 0o644)
	}
	if err != nil {
		return "", err
	}
	if err := unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return "", fmt.Errorf("attaching the files: %w", err)
	}
	m.then(func() error { return unix.Unmount(at, unix.MNT_DETACH) })
	return at, nil
}

// files mounts the files of an input. What the command writes to them is lost.
func (m *mounter) files(ctx context.Context, mount *pb.Mount) error {
	t := tree{}
	if mount.Input >= 0 {
		var err error
		if t, err = m.solver.stored(ctx, m.in[mount.Input], mount.Selector); err != nil {
			return err
		}
	}
	var f *os.File
	var err error
	if mount.Readonly && t.layer != "" {
		f, err = m.solver.Store.MountLayer(t.layer)
	} else {
		var drop func() error
		if f, drop, err = m.solver.Store.Scratch(t.layer); err == nil {
			m.then(drop)
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	at, err := m.attach(f, true)
	if err != nil {
		return err
	}
	source, err := m.part(at, mount.Selector)
	if err != nil {
		return err
	}
	m.bind(source, mount.Dest, mount.Readonly)
	return nil
}

// part mounts a part of the files at a path in the command's directory and returns where. No symbolic link leads out of them:
// the part is looked up and mounted through a handle, since another command may change a cache's files meanwhile.
func (m *mounter) part(at, part string) (string, error) {
	root, err := os.OpenFile(at, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if part == "" {
		part = "/"
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), part, &how)
	if err != nil {
		return "", fmt.Errorf("looking up the source %q: %w", part, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	clone, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return "", fmt.Errorf("mounting the source %q: %w", part, err)
	}
	f := os.NewFile(uintptr(clone), part)
	defer f.Close()
	return m.attach(f, st.Mode&unix.S_IFMT == unix.S_IFDIR)
}

func (m *mounter) tmpfs(mount *pb.Mount) error {
	options := []string{"exec"}
	if mount.TmpfsOpt.GetSize() > 0 {
		options = append(options, fmt.Sprintf("size=%d", mount.TmpfsOpt.Size))
	}
	m.command.Config.Mounts.List = append(m.command.Config.Mounts.List, spec.Mount{Type: "tmpfs", Target: mount.Dest, Options: options})
	return nil
}

// cache mounts a directory that outlives the build; its first content is that of the input.
func (m *mounter) cache(ctx context.Context, mount *pb.Mount) error {
	t := tree{}
	if mount.Input >= 0 {
		var err error
		if t, err = m.solver.stored(ctx, m.in[mount.Input], "/"); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(mount.CacheOpt.GetID() + "\n" + t.chain.String()))
	dir, lock, err := m.solver.lockMount(ctx, shortHash(sum[:]), mount.CacheOpt.GetSharing())
	if err != nil {
		return err
	}
	m.then(lock.Close)
	files := filepath.Join(dir, "files")
	if _, err := os.Stat(files); os.IsNotExist(err) {
		if err := m.solver.fillMount(ctx, t, dir, files); err != nil {
			return err
		}
	}
	source, err := m.part(files, mount.Selector)
	if err != nil {
		return err
	}
	m.bind(source, mount.Dest, mount.Readonly)
	return nil
}

// lockMount locks the directory of a cache mount as its sharing says: another's use is waited for, or another directory
// taken.
func (s *Solver) lockMount(ctx context.Context, id string, sharing pb.CacheSharingOpt) (dir string, lock *os.File, err error) {
	for n := 0; ; n++ {
		dir = s.cache.path("mount/" + id)
		if n > 0 {
			dir = fmt.Sprintf("%s-%d", dir, n)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, err
		}
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return "", nil, err
		}
		how := unix.LOCK_EX
		if sharing == pb.CacheSharingOpt_SHARED {
			how = unix.LOCK_SH
		}
		if sharing == pb.CacheSharingOpt_PRIVATE {
			err = unix.Flock(int(lock.Fd()), how|unix.LOCK_NB)
			if err == unix.EWOULDBLOCK {
				lock.Close()
				continue
			}
		} else {
			err = flock(ctx, lock, how)
		}
		if err != nil {
			lock.Close()
			return "", nil, fmt.Errorf("locking the cache: %w", err)
		}
		return dir, lock, nil
	}
}

// flock waits for a lock until the context ends.
func flock(ctx context.Context, f *os.File, how int) error {
	done := make(chan error, 1)
	go func() { done <- unix.Flock(int(f.Fd()), how) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) // the process ends, and with it the wait
	}
}

// fillMount makes the first content of a cache mount, in one step.
func (s *Solver) fillMount(ctx context.Context, t tree, dir, files string) error {
	tmp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if t.layer != "" {
		from, err := s.from(t)
		if err != nil {
			return err
		}
		defer from.Root.Close()
		to, err := os.OpenFile(tmp, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer to.Close()
		c := &edit.Copy{From: from, Src: "/", Dest: "/", Contents: true, MakeParents: true, Warn: warnNothing}
		if err := c.Run(ctx, to); err != nil {
			return err
		}
	}
	err = os.Rename(tmp, files)
	if _, there := os.Stat(files); there == nil {
		return nil // by another build, meanwhile
	}
	return err
}
