// Package overlay owns one thing: turning a list of layer directories into a detached overlay mount.
//
// It knows nothing of images or of the store; package storage computes Options. It runs in proa and in proa-init with
// CAP_SYS_ADMIN over the user namespace that owns the mount, and depends on golang.org/x/sys alone.
package overlay

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Options describe one overlay mount. The JSON form travels in a container's plan.
type Options struct {
	Lower     []string `json:"lower"`           // topmost first
	Upper     string   `json:"upper,omitempty"` // empty: read-only
	Work      string   `json:"work,omitempty"`
	UserXattr bool     `json:"userXattr,omitempty"` // "user.overlay." attributes: what a user namespace may write
	Volatile  bool     `json:"volatile,omitempty"`  // no fsync of the upper directory, for what a reboot discards
	Label     string   `json:"label,omitempty"`     // SELinux context of every file
	Extra     []string `json:"extra,omitempty"`     // further options, "key" or "key=value"; nodev, nosuid, noexec and ro are mount attributes
}

// ErrUnsupported: the kernel has no overlay in user namespaces (it came with Linux 5.11).
var ErrUnsupported = errors.New("this kernel does not allow an overlay mount here")

// maxString is the longest value fsconfig(2) takes, without its terminating zero.
const maxString = 255

// Mount makes the overlay and returns its descriptor. It is attached nowhere, so the last close of the file (or of the
// last place move_mount(2) put it) unmounts it.
func (o Options) Mount() (*os.File, error) { return o.mountBy(joinLowers) }

// MountHere is Mount on a thread that is in a mount namespace of its own, where the upper directory is, and that is thrown
// away afterwards: its working directory may change, and is not shared with another thread.
func (o Options) MountHere() (*os.File, error) { return o.mountBy(joinHere) }

// mountBy is Mount with the way to set all lower directories as one option.
func (o Options) mountBy(join func(int, []string, *handles) error) (*os.File, error) {
	if len(o.Lower) == 0 {
		return nil, errors.New("mount overlay: no lower directory")
	}
	f, err := o.mount(appendLowers)
	// "lowerdir+" came with Linux 6.7. Linux 6.5 and 6.6 refuse it at once, older kernels when the mount is made.
	if errors.Is(err, unix.EINVAL) {
		old, oldErr := o.mount(join)
		if oldErr == nil {
			return old, nil
		}
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOSYS):
		return nil, fmt.Errorf("mount overlay: %w (it needs Linux 5.11 and the overlay module, see proa doctor): %w", ErrUnsupported, err)
	}
	return nil, fmt.Errorf("mount overlay: %w", err)
}

// handles keeps O_PATH descriptors alive while the kernel resolves the paths made of them.
type handles []int

func (h *handles) open(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	*h = append(*h, fd)
	return fd, nil
}

func (h *handles) close() {
	for _, fd := range *h {
		_ = unix.Close(fd)
	}
}

// name is path in a form fsconfig takes: the kernel strips backslashes and has a length limit.
func (h *handles) name(path string) (string, error) {
	if len(path) <= maxString && !strings.Contains(path, `\`) {
		return path, nil
	}
	fd, err := h.open(path)
	return "/proc/self/fd/" + strconv.Itoa(fd), err
}

func (o Options) mount(setLowers func(int, []string, *handles) error) (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	var open handles
	defer open.close()
	if err := unix.FsconfigSetString(fs, "source", "overlay"); err != nil {
		return nil, explain(fs, "set source", err)
	}
	attrs, err := o.configure(fs, &open)
	if err != nil {
		return nil, err
	}
	// The lower directories come last: the fallback changes the working directory of the thread, and creates in it.
	if err := setLowers(fs, o.Lower, &open); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, explain(fs, "fsmount", err)
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}

// configure sets everything but the lower directories and returns the mount attributes.
func (o Options) configure(fs int, open *handles) (int, error) {
	var values [][2]string
	if o.Upper != "" {
		upper, err := open.name(o.Upper)
		if err != nil {
			return 0, err
		}
		work, err := open.name(o.Work)
		if err != nil {
			return 0, err
		}
		values = append(values, [2]string{"upperdir", upper}, [2]string{"workdir", work})
	}
	if o.Label != "" {
		values = append(values, [2]string{"context", o.Label})
	}
	var flags []string
	if o.UserXattr {
		flags = append(flags, "userxattr")
	}
	if o.Volatile && o.Upper != "" {
		flags = append(flags, "volatile")
	}
	attrs := 0
	for _, e := range o.Extra {
		key, value, ok := strings.Cut(e, "=")
		switch {
		case ok:
			values = append(values, [2]string{key, value})
		case key == "nodev":
			attrs |= unix.MOUNT_ATTR_NODEV
		case key == "nosuid":
			attrs |= unix.MOUNT_ATTR_NOSUID
		case key == "noexec":
			attrs |= unix.MOUNT_ATTR_NOEXEC
		case key == "ro":
			attrs |= unix.MOUNT_ATTR_RDONLY
		default:
			flags = append(flags, key)
		}
	}
	for _, v := range values {
		if err := unix.FsconfigSetString(fs, v[0], v[1]); err != nil {
			return 0, explain(fs, "set "+v[0]+"="+v[1], err)
		}
	}
	for _, f := range flags {
		if err := unix.FsconfigSetFlag(fs, f); err != nil {
			return 0, explain(fs, "set "+f, err)
		}
	}
	return attrs, nil
}

// appendLowers gives the kernel one directory at a time and creates the superblock.
func appendLowers(fs int, lowers []string, open *handles) error {
	for _, l := range lowers {
		name, err := open.name(l)
		if err != nil {
			return err
		}
		if err := unix.FsconfigSetString(fs, "lowerdir+", name); err != nil {
			return explain(fs, "add layer "+l, err)
		}
	}
	return create(fs)
}

// joinLowers is for kernels with the single "lowerdir" option.
func joinLowers(fs int, lowers []string, open *handles) error {
	done := make(chan error, 1)
	go func() {
		// The thread ends with this goroutine, and its private working directory with it.
		runtime.LockOSThread()
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare working directory: %w", err)
			}
			return joinHere(fs, lowers, open)
		}()
	}()
	return <-done
}

// joinHere is joinLowers on this thread, whose working directory it changes. fsconfig limits the option's value to 255
// bytes: names relative to the thread's descriptor directory are the shortest there are, and have no colon to escape.
func joinHere(fs int, lowers []string, open *handles) error {
	names := make([]string, len(lowers))
	for i, l := range lowers {
		fd, err := open.open(l)
		if err != nil {
			return err
		}
		names[i] = strconv.Itoa(fd)
	}
	value := strings.Join(names, ":")
	if len(value) > maxString {
		return fmt.Errorf("an image of %d layers needs Linux 6.7 or newer", len(lowers))
	}
	if err := unix.Chdir("/proc/thread-self/fd"); err != nil {
		return fmt.Errorf("enter descriptor directory: %w", err)
	}
	if err := unix.FsconfigSetString(fs, "lowerdir", value); err != nil {
		return explain(fs, "set lowerdir", err)
	}
	return create(fs)
}

func create(fs int) error {
	if err := unix.FsconfigCreate(fs); err != nil {
		return explain(fs, "create", err)
	}
	return nil
}

// explain adds what the kernel wrote to the file system context's message queue, one message a read.
func explain(fs int, action string, err error) error {
	var texts []string
	buf := make([]byte, 1024)
	for {
		n, e := unix.Read(fs, buf)
		if e != nil || n == 0 {
			break
		}
		if kind, text, ok := strings.Cut(strings.TrimSpace(string(buf[:n])), " "); ok && kind == "e" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return fmt.Errorf("%s: %w", action, err)
	}
	return fmt.Errorf("%s: %s: %w", action, strings.Join(texts, "; "), err)
}
