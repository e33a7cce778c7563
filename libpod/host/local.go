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
func Local() (Host, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Host{}, fmt.Errorf("asking for the kernel's release: %w", err)
	}
	uid := os.Getuid()
	h := Host{
		UID: uid, User: strconv.Itoa(uid), Home: os.Getenv("HOME"),
		Release: unix.ByteSliceToString(u.Release[:]),
		Getenv:  os.Getenv, SubIDs: rootless.SubIDs, UserNS: tryUserNS, Overlay: tryOverlay,
	}
	paths, pathErr := config.Resolve(uid, rootless.Rootless())
	h.RunDir = func() (string, error) { return paths.RunDir, pathErr }
	if h.TempDir = paths.DataDir; pathErr != nil { // then DataDir may not have been made
		h.TempDir = h.Home
	}
	if u, err := user.LookupId(h.User); err == nil {
		h.User = u.Username
	}
	if uid == 0 && !rootless.InUserNS() { // the ids need no mapping
		h.SubIDs = func(int) (int, int, error) { return 1<<32 - 2, 1<<32 - 2, nil }
	}
	return h, nil
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
	if err := inUserNS(ctx, unix.CLONE_NEWNS, "/proc/self/exe", "doctor", "--probe-mount"); err != nil {
		return fmt.Errorf("making a user namespace: %w", err)
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

// ProbeOverlay mounts an overlay below dir. Its caller is in a user and mount namespace made for this, which take the
// mount with them.
func ProbeOverlay(dir string) error {
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return fmt.Errorf("preparing an overlay: %w", err)
		}
	}
	if err := os.Chdir(dir); err != nil { // a path may hold the comma and colon that separate options
		return fmt.Errorf("preparing an overlay: %w", err)
	}
	if err := unix.Mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr"); err != nil {
		return fmt.Errorf("mounting an overlay: %w", err)
	}
	if err := os.WriteFile("merged/probe", nil, 0o600); err != nil {
		return fmt.Errorf("writing to an overlay: %w", err)
	}
	return nil
}
