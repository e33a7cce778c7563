package libpod

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// openRoot opens the container's files as its processes see them: through the init of a running container, and else by
// a mount of its root with what is bound into it. The mount, and the container's lock that keeps it from being started
// meanwhile, are held until close.
func (e *Engine) openRoot(ctx context.Context, c *Container) (root *os.File, close func(), err error) {
	if root := e.runningRoot(c); root != nil {
		return root, func() { root.Close() }, nil
	}
	unlock, err := e.lockWhole(c)
	if err != nil {
		return nil, nil, err
	}
	if root := e.runningRoot(c); root != nil { // started while the lock was waited for
		unlock()
		return root, func() { root.Close() }, nil
	}
	if st := e.Status(c); st.State == Restarting {
		// Its monitor has the overlay mounted; what two mounts of one upper directory do is undefined (overlayfs.rst).
		unlock()
		return nil, nil, &WrongStateError{c.Name, st.State, "can't have its files read or written between two runs: stop it, or try again when it runs"}
	}
	mount, err := e.mountRoot(c)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	ns, err := e.bindAll(ctx, c, mount)
	closeMount := func() {
		mount.close()
		if err := e.unmountVolumes(c); err != nil {
			e.warn(err)
		}
		unlock()
	}
	if err != nil {
		closeMount()
		return nil, nil, fmt.Errorf("mounting the files of container %q: %w", c.Name, err)
	}
	return mount.file, func() {
		if ns != nil {
			ns.Close()
		}
		closeMount()
	}, nil
}

// runningRoot is the root of a running container; nil when it does not run.
func (e *Engine) runningRoot(c *Container) *os.File {
	st := e.Status(c)
	if st.PID == 0 {
		return nil
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", st.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	if e.Status(c).PID != st.PID { // the pid may have been another's by then
		root.Close()
		return nil
	}
	return root
}

// bindAll mounts in the container's root what its processes would see, read-only where it would be. A nil file says that
// no mount namespace was needed for it.
func (e *Engine) bindAll(ctx context.Context, c *Container, root *rootMount) (*os.File, error) {
	mounts, err := e.heldMounts(ctx, c, root)
	if err != nil {
		return nil, err
	}
	list, ro := boundMounts(mounts), c.Config.Mounts.ReadonlyRoot
	if len(list) > 0 || ro && root.overlay == nil {
		return bindInto(e.paths.RunDir, root, list, ro)
	}
	if ro {
		return nil, readOnly(int(root.file.Fd()))
	}
	return nil, nil
}

// bound is a mount that a container has besides its root.
type bound struct {
	spec.Mount
	readonly bool
}

// boundMounts are what a container's files are mounted over with when it runs, what is mounted within another mount
// after it. A tmpfs is empty before the container runs and gone after it.
func boundMounts(mounts []spec.Mount) []bound {
	var list []bound
	for _, m := range mounts {
		if m.Type == "bind" {
			list = append(list, bound{m, slices.Contains(m.Options, "ro")})
		}
	}
	slices.SortStableFunc(list, func(a, b bound) int { return len(path.Clean(a.Target)) - len(path.Clean(b.Target)) })
	return list
}

// bindInto attaches root at dir in a mount namespace of its own, which lives as long as the returned file is open, and what is
// to be bound into it beneath. Nothing of it is seen elsewhere, and all of it goes when this process does.
func bindInto(dir string, root *rootMount, list []bound, ro bool) (ns *os.File, err error) {
	err = aside(func() error {
		ns, err = bindHere(dir, root, list, ro)
		return err
	})
	return ns, err
}

// aside runs fn on a thread that is then thrown away, in a mount namespace of the thread's own: what fn mounts there goes with
// the thread, unless a descriptor holds it.
func aside(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Go can't end the first thread: it would stay in the namespace.
			err := aside(fn)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err := ownMounts()
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

// ownMounts gives this thread a mount namespace that no mount leaves.
func ownMounts() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	return nil
}

// bindHere is bindInto on a thread that may be thrown away.
func bindHere(dir string, root *rootMount, list []bound, ro bool) (ns *os.File, err error) {
	if ns, err = os.Open("/proc/thread-self/ns/mnt"); err != nil {
		return nil, err
	}
	var clones []int
	defer func() {
		for _, fd := range clones {
			unix.Close(fd)
		}
		if err != nil {
			ns.Close()
		}
	}()
	for _, b := range list { // before the root covers what they are in
		fd, err := cloneSource(b.Mount)
		if err != nil {
			return nil, fmt.Errorf("opening %q: %w", b.Source, err)
		}
		clones = append(clones, fd)
		if b.readonly {
			if err := readOnly(fd); err != nil {
				return nil, err
			}
		}
	}
	if err := attachRoot(dir, root); err != nil {
		return nil, err
	}
	for i, b := range list {
		if err := attachIn(root.file, clones[i], b.Target); err != nil {
			return nil, fmt.Errorf("mounting at %q: %w", b.Target, err)
		}
	}
	if ro { // now that what is mounted on has been made
		return ns, readOnly(int(root.file.Fd()))
	}
	return ns, nil
}

// readOnly makes a detached mount read-only.
func readOnly(fd int) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("making a mount read-only: %w", err)
	}
	return nil
}

// cloneSource clones what m binds. A part of a volume, to which other containers may write, is looked up within that.
func cloneSource(m spec.Mount) (int, error) {
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	if m.Volume == nil || m.Volume.Subpath == "" {
		return unix.OpenTree(unix.AT_FDCWD, m.Source, flags)
	}
	top, err := unix.Open(m.Source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(top)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	part, err := unix.Openat2(top, m.Volume.Subpath, &how)
	if err != nil {
		return -1, err
	}
	defer unix.Close(part)
	return unix.OpenTree(part, "", flags|unix.AT_EMPTY_PATH)
}

// attachRoot attaches the root, since mounts are only made beneath attached ones.
func attachRoot(dir string, root *rootMount) error {
	fd := int(root.file.Fd())
	if root.overlay == nil {
		clone, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("mounting the root: %w", err)
		}
		root.file.Close()
		root.file, fd = os.NewFile(uintptr(clone), root.path), clone
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting the root: %w", err)
	}
	return nil
}

// attachIn mounts the detached mount at the path target in root. What it is mounted on is made first, as it would be
// for the container's run.
func attachIn(root *os.File, mount int, target string) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	at, err := unix.Openat2(int(root.Fd()), target, &how)
	if err == unix.ENOENT {
		if err := makeTarget(root, mount, target); err != nil {
			return err
		}
		at, err = unix.Openat2(int(root.Fd()), target, &how)
	}
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.MoveMount(mount, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// makeTarget makes a directory, or for the mount of another file an empty file.
func makeTarget(root *os.File, mount int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(mount, &st); err != nil {
		return err
	}
	dir := target
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		dir = path.Dir(target)
	}
	h, err := pathrs.MkdirAllHandle(root, dir, 0o755)
	if err != nil {
		return err
	}
	defer h.Close()
	if dir == target {
		return nil
	}
	fd, err := unix.Openat(int(h.Fd()), path.Base(target), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// MountPath is a path of the running container's root in this host's file tree. It is valid while the container runs.
func (e *Engine) MountPath(c *Container) (string, error) {
	st := e.Status(c)
	if st.PID == 0 {
		return "", &WrongStateError{c.Name, st.State, "is not running, and its files are mounted only while it does: start it first, or use cp, diff or export, which need no mount"}
	}
	return fmt.Sprintf("/proc/%d/root", st.PID), nil
}
