package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// device is what a volume's options say, in the words of Docker's local driver: type, o and device, as mount(8) takes
// them.
type device struct {
	fsType  string
	source  string
	bind    bool     // source is a directory of the host
	mounted bool     // source is mounted at the data directory while a container uses the volume
	options []string // of the mount
	owned   bool     // the data directory is made for uid and gid
	uid     int
	gid     int
}

func (v *Volume) device() device { return parseDevice(v.Options) }

// Mounted tells whether the volume is mounted while containers use it.
func (v *Volume) Mounted() bool { return v.device().mounted }

// MountOptions are those that every container's mount of the volume gets.
func (v *Volume) MountOptions() []string {
	if d := v.device(); d.bind {
		return d.options
	}
	return nil
}

func parseDevice(o map[string]string) device {
	d := device{fsType: o["type"], source: o["device"]}
	for _, f := range strings.FieldsFunc(o["o"], func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(f, "=")
		n, err := strconv.Atoi(value)
		switch {
		case f == "bind" || f == "rbind":
			d.bind = true
		case d.fsType == "" && d.source == "" && key == "uid" && err == nil:
			d.owned, d.uid = true, n
			continue
		case d.fsType == "" && d.source == "" && key == "gid" && err == nil:
			d.owned, d.gid = true, n
			continue
		}
		d.options = append(d.options, f)
	}
	d.bind = d.bind || d.fsType == "bind"
	d.mounted = !d.bind && d.fsType != ""
	return d
}

// bindOptions are those that a container's mount of a directory knows.
var bindOptions = []string{"bind", "rbind", "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev"}

// CheckOptions tells whether a volume can have these options, for root or for another user.
func CheckOptions(o map[string]string, rootless bool) error {
	for k := range o {
		if k != "type" && k != "o" && k != "device" {
			return fmt.Errorf("unknown option %q: type, o or device, as mount(8) takes them", k)
		}
	}
	d := parseDevice(o)
	switch {
	case d.bind:
		return checkBind(d)
	case d.fsType == "" && d.source != "":
		return errors.New("the option device needs a type, as --opt type=tmpfs, or for a directory --opt type=none --opt o=bind")
	case d.fsType == "" && len(d.options) > 0:
		return fmt.Errorf("the option o=%s needs a type: without one o knows uid= and gid= alone (a size is for type=tmpfs)", d.options[0])
	case d.fsType == "" || d.fsType == "tmpfs":
		return nil
	case d.fsType == "none":
		return errors.New("type=none needs o=bind and device=/DIRECTORY")
	case rootless:
		return fmt.Errorf("type %q can be mounted by root alone; have root mount it, and give its directory with --opt type=none --opt o=bind --opt device=/DIRECTORY", d.fsType)
	case d.source == "":
		return fmt.Errorf("type %q needs --opt device=, what to mount", d.fsType)
	}
	return nil
}

func checkBind(d device) error {
	if !filepath.IsAbs(d.source) {
		return fmt.Errorf("a bind needs --opt device=, the absolute path of a directory; it is %q", d.source)
	}
	if d.fsType != "" && d.fsType != "none" && d.fsType != "bind" {
		return fmt.Errorf("type %q and o=bind exclude each other", d.fsType)
	}
	for _, o := range d.options {
		if !slices.Contains(bindOptions, o) {
			return fmt.Errorf("unknown option o=%s of a bind: %s", o, strings.Join(bindOptions, ", "))
		}
	}
	return nil
}

// Acquire makes a volume ready to be mounted into a container and returns the directory to bind. A volume that is empty
// gets a copy of the directory src, with owners, modes and all; nil is none. warn hears of what this user can't copy. Until
// release is called, which is to be when the container has its mounts, nobody removes or unmounts the volume.
func (s *Store) Acquire(ctx context.Context, v *Volume, src *os.File, warn func(error)) (data string, release func(), err error) {
	data = v.Mountpoint()
	if d := v.device(); d.bind {
		if st, err := os.Stat(data); err != nil || !st.IsDir() {
			return "", nil, fmt.Errorf("volume %q is the directory %s, which is not there; make it first", v.Name, data)
		}
	}
	for {
		if err := s.prepare(ctx, v, data, src, warn); err != nil {
			return "", nil, err
		}
		f, err := s.lock(ctx, v, unix.LOCK_SH)
		if err != nil {
			return "", nil, err
		}
		if v.Mounted() { // the last user's end may have come between the two locks
			if on, err := mountpoint(data); err != nil || !on {
				f.Close()
				if err != nil {
					return "", nil, err
				}
				continue
			}
		}
		return data, func() { f.Close() }, nil
	}
}

// prepare mounts a volume that is to be mounted, finishes what a killed command left, and fills the volume.
func (s *Store) prepare(ctx context.Context, v *Volume, data string, src *os.File, warn func(error)) error {
	if todo, err := v.unprepared(data, src); err != nil || !todo {
		return err
	}
	f, err := s.lock(ctx, v, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer f.Close()
	if v.Mounted() {
		if on, err := mountpoint(data); err != nil {
			return err
		} else if !on {
			if err := v.mount(ctx, data); err != nil {
				return err
			}
		}
	}
	stage := v.stage(data)
	if err := recoverIn(stage, data); err != nil {
		return fmt.Errorf("finishing the copy into volume %q: %w", v.Name, err)
	}
	if src == nil {
		return nil
	}
	if empty, err := emptyDir(data); err != nil || !empty {
		return err
	}
	return v.enter(stage, data, filling, filled, func(dir string) error { return copyDir(ctx, src, dir, warn) })
}

func (v *Volume) unprepared(data string, src *os.File) (bool, error) {
	if v.Mounted() {
		if on, err := mountpoint(data); err != nil || !on {
			return true, err
		}
	}
	if journal(v.stage(data)) {
		return true, nil
	}
	if src == nil {
		return false, nil
	}
	return emptyDir(data)
}

// mount runs mount(8), which knows the helpers of file systems and the options of all.
func (v *Volume) mount(ctx context.Context, data string) error {
	d := v.device()
	source := d.source
	if source == "" {
		source = d.fsType
	}
	args := []string{"-t", d.fsType}
	if len(d.options) > 0 {
		args = append(args, "-o", strings.Join(d.options, ","))
	}
	out, err := exec.CommandContext(ctx, "mount", append(args, "--", source, data)...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("mounting volume %q: %s", v.Name, strings.Join(strings.Fields(string(out)), " "))
	}
	if err != nil {
		return fmt.Errorf("mounting volume %q: %w", v.Name, err)
	}
	return nil
}

// Release unmounts a mounted volume that no container uses any more. used is asked under the volume's lock; when a
// command that starts a container holds it, the mount stays, for that container.
func (s *Store) Release(ctx context.Context, v *Volume, used func() (bool, error)) error {
	f, err := s.lock(ctx, v, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, ErrBusy) || errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if on, err := used(); err != nil || on {
		return err
	}
	if err := unmount(filepath.Join(v.dir, dataDir)); err != nil {
		return fmt.Errorf("unmounting volume %q: %w", v.Name, err)
	}
	return nil
}

// mountpoint tells whether something is mounted at dir.
func mountpoint(dir string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return false, &fs.PathError{Op: "look at", Path: dir, Err: err}
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

func unmount(dir string) error {
	for {
		on, err := mountpoint(dir)
		if err != nil || !on {
			return err
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return err
		}
	}
}
