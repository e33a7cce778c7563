// Package config owns where proa keeps things. It runs in proa, before and after the user namespace is entered, and
// reads nothing but the environment and the directories themselves.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Paths are proa's directories, all 0700 and of the invoking user.
type Paths struct {
	DataDir string // survives a reboot
	RunDir  string // on tmpfs
	Home    string
}

// EventDir is the directory of the log of events.
func (p Paths) EventDir() string { return filepath.Join(p.RunDir, "events") }

// ErrNoRuntimeDir says that no run directory can be had.
var ErrNoRuntimeDir = errors.New("no directory for what a reboot discards")

// ErrNoDataDir says that no data directory can be had.
var ErrNoDataDir = errors.New("no directory for containers")

// Resolve finds and makes the directories of the user uid, numbered as outside proa's user namespace.
func Resolve(uid int, rootless bool) (Paths, error) {
	p := Paths{DataDir: "/var/lib/proa", RunDir: "/run/proa", Home: os.Getenv("HOME")}
	if rootless {
		if p.Home == "" {
			return p, fmt.Errorf("%w: HOME is not set", ErrNoDataDir)
		}
		data := os.Getenv("XDG_DATA_HOME")
		if data == "" {
			data = filepath.Join(p.Home, ".local", "share")
		}
		p.DataDir = filepath.Join(data, "proa")
		run, err := runtimeDir(uid)
		if err != nil {
			return p, err
		}
		p.RunDir = filepath.Join(run, "proa")
	}
	if err := os.MkdirAll(p.DataDir, 0o700); err != nil {
		return p, fmt.Errorf("%w: %w", ErrNoDataDir, err)
	}
	if err := os.MkdirAll(p.RunDir, 0o700); err != nil {
		return p, fmt.Errorf("%w: %w", ErrNoRuntimeDir, err)
	}
	return p, nil
}

// runtimeDir is $XDG_RUNTIME_DIR, or where it would be, or a private directory in /tmp: the same three places, in the
// same order, as libpod/rootless/join.c looks for the pause process.
func runtimeDir(uid int) (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		if err := private(dir); err != nil {
			return "", fmt.Errorf("%w: XDG_RUNTIME_DIR is %q, which %w", ErrNoRuntimeDir, dir, err)
		}
		return dir, nil
	}
	dir := "/run/user/" + strconv.Itoa(uid)
	if private(dir) == nil {
		return dir, nil
	}
	dir = "/tmp/proa-run-" + strconv.Itoa(uid)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("%w: %w", ErrNoRuntimeDir, err)
	}
	if err := private(dir); err != nil {
		return "", fmt.Errorf("%w: XDG_RUNTIME_DIR is not set and %s %w", ErrNoRuntimeDir, dir, err)
	}
	return dir, nil
}

// private tells whether dir is a directory of this user that no other can write to.
func private(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("can't be used: %w", err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return errors.New("is not a directory")
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("belongs to user %d and not to you", st.Uid)
	case st.Mode&0o022 != 0:
		return errors.New("can be written by others")
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("can't be written to: %w", err)
	}
	return nil
}
