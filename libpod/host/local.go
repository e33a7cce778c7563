package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"golang.org/x/sys/unix"
)

// Local is the running machine, for the user of this process.
func Local() Host {
	var u unix.Utsname
	_ = unix.Uname(&u) // an empty release is said to be too old
	uid := rootless.OuterUID()
	h := Host{
		UID: uid, Rootless: rootless.Rootless(), User: strconv.Itoa(uid), Home: os.Getenv("HOME"),
		Release: unix.ByteSliceToString(u.Release[:]), Getenv: os.Getenv,
		SubIDs: rootless.SubIDs, Privileged: rootless.Mapper.Privileged, UserNS: tryUserNS, Overlay: tryOverlay, Space: space, Owner: owner,
	}
	h.Dirs = func() (string, error) {
		p, err := config.Resolve(uid, h.Rootless)
		return p.RunDir, err
	}
	if u, err := user.LookupId(h.User); err == nil {
		h.User = u.Username
	}
	return h
}

func owner(path string) (int, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", path, err)
	}
	return int(st.Uid), nil
}

func inUserNS(ctx context.Context, flags uintptr, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(out) > 0 {
		return errors.New(strings.TrimPrefix(strings.TrimSpace(string(out)), "proa: "))
	}
	return err
}

func tryUserNS(ctx context.Context) error {
	// AppArmor's restriction lets a namespace be made and then takes every capability in it: only a mount tells.
	err := inUserNS(ctx, unix.CLONE_NEWNS, "/proc/self/exe", "doctor", "--probe-mount")
	var path *os.PathError
	if errors.As(err, &path) { // its path is ours
		err = path.Err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", rootless.ErrUserNS, err)
	}
	return nil
}

func tryOverlay(ctx context.Context, dir string) error {
	return inUserNS(ctx, unix.CLONE_NEWNS, "/proc/self/exe", "doctor", "--probe-overlay", dir)
}

// ProbeMount uses the privilege that a new user namespace gives over a mount namespace made with it.
func ProbeMount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounting in it: %w", err)
	}
	return nil
}

// ProbeOverlay mounts an overlay below dir and does what needs more than a mount: a removed file needs a whiteout in the
// upper layer, a replaced directory the extended attribute "opaque". Its caller is in a user and mount namespace made for
// this, which take the mount with them.
func ProbeOverlay(dir string) error {
	for _, name := range []string{"lower/dir", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return fmt.Errorf("preparing an overlay: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lower/file"), nil, 0o600); err != nil {
		return fmt.Errorf("preparing an overlay: %w", err)
	}
	if err := os.Chdir(dir); err != nil { // a path may hold the comma and colon that separate options
		return fmt.Errorf("preparing an overlay: %w", err)
	}
	if err := unix.Mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr"); err != nil {
		return fmt.Errorf("mounting an overlay: %w", err)
	}
	if err := os.Remove("merged/file"); err != nil {
		return fmt.Errorf("removing a layer's file: %w", err)
	}
	if err := errors.Join(os.Remove("merged/dir"), os.Mkdir("merged/dir", 0o700)); err != nil {
		return fmt.Errorf("replacing a layer's directory: %w", err)
	}
	return nil
}
