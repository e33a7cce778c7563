package libpod

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage/overlay"
	"golang.org/x/sys/unix"
)

// DebugRoot is where a debug session has the container's files.
const DebugRoot = "/container"

// OwnToolbox is the image that the container was made from, if it has a shell; nil if not, or if there is no such image.
func (e *Engine) OwnToolbox(c *Container) (*image.Image, error) {
	if c.ImageID == "" {
		return nil, nil
	}
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	img, err := image.Lookup(s, c.ImageID)
	if err != nil {
		return nil, err
	}
	o, err := e.toolboxLayers(img)
	if err != nil {
		return nil, err
	}
	root, err := o.Mount()
	if err != nil {
		return nil, fmt.Errorf("looking for a shell in image %q: %w", c.Image, err)
	}
	defer root.Close()
	if findShell(root) == "" {
		return nil, nil
	}
	return img, nil
}

// toolboxLayers are an image's, on top of what a root's mounts are attached to.
func (e *Engine) toolboxLayers(img *image.Image) (overlay.Options, error) {
	s, err := e.store()
	if err != nil {
		return overlay.Options{}, err
	}
	o, err := s.ImageOverlay(img.ID)
	if err != nil {
		return o, err
	}
	return e.onSkeleton(o)
}

// onSkeleton puts the skeleton beneath all lower directories. Without an upper one an overlay needs two of them.
func (e *Engine) onSkeleton(o overlay.Options) (overlay.Options, error) {
	skeleton, err := e.skeleton()
	if err != nil {
		return o, err
	}
	if len(o.Lower) == 0 {
		return o, fmt.Errorf("the image has no layers, and so no files")
	}
	o.Lower = append(o.Lower[:len(o.Lower):len(o.Lower)], skeleton)
	return o, nil
}

// toolbox is the root of a debug session: the image's files, and changes that go with it. texts are files besides, by their
// path, a directory deep.
func (e *Engine) toolbox(img *image.Image, texts map[string][]byte) (*os.File, error) {
	o, err := e.toolboxLayers(img)
	if err != nil {
		return nil, err
	}
	f, err := throwAway(e.paths.RunDir, o, texts)
	if err != nil {
		return nil, fmt.Errorf("mounting the toolbox: %w", err)
	}
	return f, nil
}

// throwAway mounts o with an upper directory in memory, which goes with the last mount of it: nothing of it is ever on
// disk. While it is made, it is mounted at dir, where nobody sees it.
func throwAway(dir string, o overlay.Options, texts map[string][]byte) (root *os.File, err error) {
	err = aside(func() error {
		mem, err := memory()
		if err != nil {
			return fmt.Errorf("making a file system in memory: %w", err)
		}
		defer unix.Close(mem)
		if err := unix.MoveMount(mem, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("attaching a file system in memory: %w", err)
		}
		o.Upper, o.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
		for _, d := range []string{o.Upper, o.Work} {
			if err := makeDir(d); err != nil {
				return err
			}
		}
		for name, text := range texts {
			if err := writeText(filepath.Join(o.Upper, name), text); err != nil {
				return err
			}
		}
		root, err = o.MountHere()
		return err
	})
	return root, err
}

// memory is a detached tmpfs.
func memory() (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// makeDir makes a directory for everybody to look into, whatever proa's file mode mask.
func makeDir(name string) error {
	if err := os.Mkdir(name, 0o755); err != nil {
		return err
	}
	return os.Chmod(name, 0o755)
}

// writeText writes a file and, if it is missing, its directory.
func writeText(name string, text []byte) error {
	if err := makeDir(filepath.Dir(name)); err != nil && !os.IsExist(err) {
		return err
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, 0o644)
}

// graft is a copy of the mount root with the tree of mounts mounted in it at a path, which is made if it is missing.
func graft(dir string, root, tree *os.File, at string) (out *os.File, err error) {
	err = aside(func() error {
		// Mounts are only made beneath attached ones.
		if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return err
		}
		if err := attachIn(root, int(tree.Fd()), at); err != nil {
			return err
		}
		out, err = cloneTree(root)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mounting the container's files in the toolbox: %w", err)
	}
	return out, nil
}

// treeOf is a copy of the mounts from root on in a mount namespace, of which ns is a handle or a process in it.
func treeOf(ns, root *os.File) (tree *os.File, err error) {
	err = aside(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return err
		}
		tree, err = cloneTree(root)
		return err
	})
	return tree, err
}

// cloneTree copies the mount that root is the top of, and those beneath, in this thread's mount namespace.
func cloneTree(root *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(root.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), root.Name()), nil
}

// readOnlyTree makes detached mounts read-only, whatever is mounted where.
func readOnlyTree(tree *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("making the container's files read-only: %w", err)
	}
	return nil
}

// findShell is the path of root's shell, "" if there is none.
func findShell(root *os.File) string {
	for _, name := range []string{"/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"} {
		fd, err := openIn(root, name)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		unix.Close(fd)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0 {
			return name
		}
	}
	return ""
}

// openIn is a handle of a file in root, out of which no link leads.
func openIn(root *os.File, name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(int(root.Fd()), name, &how)
}

// maxText is more than a hosts file has.
const maxText = 1 << 20

// readText is the content of a regular file in root, nil if there is none. It is looked at through a handle first:
// opening a device has effects.
func readText(root *os.File, name string) []byte {
	fd, err := openIn(root, name)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxText {
		return nil
	}
	b, err := os.ReadFile("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil
	}
	return b
}
