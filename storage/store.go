// Package storage is the only wrapper of go.podman.io/storage: it opens the store that Podman, Buildah and Skopeo also
// use, and makes and removes containers' layers in it.
//
// It never mounts a container's root: Overlay computes what to mount, package storage/overlay mounts it detached. What an
// image is, how it is named and configured is package image's. It runs in proa and proa-image, as root or as uid 0 of
// the user namespace that libpod/rootless keeps; the library's own locks serialise it with other processes and tools.
package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/userns"
	cs "go.podman.io/storage"
	drivers "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/homedir"
	"go.podman.io/storage/pkg/reexec"
	"go.podman.io/storage/types"
)

// Options say which store to open. The zero value is what storage.conf and its defaults say for the calling user.
type Options struct {
	GraphRoot string // overrides storage.conf
	RunRoot   string // overrides storage.conf
	Rootless  bool   // the process is uid 0 of a user namespace made by the unprivileged user OuterUID
	OuterUID  int
	Home      string // OuterUID's home directory, used when $HOME is unset
}

// Errors of this package; match with errors.Is.
var (
	ErrNotFound = errors.New("not in storage")
	ErrInUse    = errors.New("in use")
	ErrExists   = errors.New("already in storage")
	ErrDriver   = errors.New("unsupported storage driver")
)

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	lib         cs.Store
	driver      string
	userXattr   bool
	mountExtra  []string
	noVolatile  bool
	mountHelper string
}

// Reexec must be the first call of main in a program that adds layers: the library unpacks a layer in a child process of
// the same program, chrooted to the layer. It reports that this process was such a child, which then has nothing more to do.
func Reexec() bool { return reexec.Init() }

// Open opens the store, making its directories when they are missing. It attaches no mount.
//
// The library learns that it runs for an unprivileged user from two environment variables, which Open sets.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Rootless {
		for key, value := range map[string]string{
			"_CONTAINERS_USERNS_CONFIGURED": "done",
			"_CONTAINERS_ROOTLESS_UID":      strconv.Itoa(o.OuterUID),
		} {
			if err := os.Setenv(key, value); err != nil {
				return nil, fmt.Errorf("open storage: %w", err)
			}
		}
		if os.Getenv("HOME") == "" && o.Home != "" {
			if err := os.Setenv("HOME", o.Home); err != nil {
				return nil, fmt.Errorf("open storage: %w", err)
			}
		}
	}
	opts, err := types.DefaultStoreOptions()
	if err != nil {
		return nil, fmt.Errorf("open storage: read storage.conf: %w; mend it or move it away", err)
	}
	if o.Rootless {
		if err := usersRoots(&opts); err != nil {
			return nil, fmt.Errorf("open storage: %w", err)
		}
	}
	if o.GraphRoot != "" {
		opts.GraphRoot = o.GraphRoot
	}
	if o.RunRoot != "" {
		opts.RunRoot = o.RunRoot
	}
	if opts.GraphDriverName == "" {
		opts.GraphDriverName = "overlay"
	}
	if opts.GraphDriverName != "overlay" {
		return nil, fmt.Errorf("open storage: %w %q: set driver = \"overlay\" in storage.conf", ErrDriver, opts.GraphDriverName)
	}
	// Overlay's trusted.* attributes need the initial user namespace.
	s := &Store{driver: opts.GraphDriverName, userXattr: userns.RunningInUserNS(), noVolatile: opts.DisableVolatile}
	for _, opt := range opts.GraphDriverOptions {
		key, value, _ := strings.Cut(opt, "=")
		switch strings.TrimPrefix(strings.TrimPrefix(key, "."), "overlay.") {
		case "mountopt":
			s.mountExtra = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		case "mount_program":
			s.mountHelper = value
		}
	}
	// Without it the library binds the store over itself, a mount that outlives the process.
	opts.GraphDriverOptions = append(slices.Clone(opts.GraphDriverOptions), "overlay.skip_mount_home=true")
	s.lib, err = cs.GetStore(opts)
	if errors.Is(err, drivers.ErrIncompatibleFS) {
		return nil, fmt.Errorf("open storage in %q, the graphroot of storage.conf: its file system can't hold overlay layers; name one on another in storage.conf, or within a container give it a volume or --tmpfs %s (%w)", opts.GraphRoot, filepath.Dir(opts.GraphRoot), err)
	}
	if err != nil {
		return nil, fmt.Errorf("open storage in %q, the graphroot of storage.conf: %w; proa doctor checks the host", opts.GraphRoot, err)
	}
	return s, nil
}

// usersRoots replaces root's directories, which the storage.conf of some distributions names for everybody (Fedora's
// does) and which Podman up to 5 takes to be meant for root alone.
func usersRoots(opts *types.StoreOptions) error {
	if opts.GraphRoot == "/var/lib/containers/storage" {
		data, err := homedir.GetDataHome()
		if err != nil {
			return err
		}
		opts.GraphRoot = filepath.Join(data, "containers", "storage")
	}
	if opts.RunRoot == "/run/containers/storage" || opts.RunRoot == "/var/run/containers/storage" {
		run, err := homedir.GetRuntimeDir()
		if err != nil {
			return err
		}
		opts.RunRoot = filepath.Join(run, "containers")
	}
	return nil
}

// Library is the library's own store, for image transports only.
func (s *Store) Library() cs.Store { return s.lib }

// Close forgets the store; it leaves everything on disk as it is.
func (s *Store) Close() { s.lib.Free() }

// GraphRoot is where images and layers are.
func (s *Store) GraphRoot() string { return s.lib.GraphRoot() }

// RunRoot is where what a reboot discards is.
func (s *Store) RunRoot() string { return s.lib.RunRoot() }

// Driver is the name of the storage driver.
func (s *Store) Driver() string { return s.driver }

// translate puts this package's sentinels in front of the library's.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cs.ErrImageUnknown), errors.Is(err, cs.ErrLayerUnknown), errors.Is(err, cs.ErrContainerUnknown),
		errors.Is(err, cs.ErrNotALayer), errors.Is(err, cs.ErrNotAContainer), errors.Is(err, cs.ErrNotAnImage), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, cs.ErrImageUsedByContainer), errors.Is(err, cs.ErrLayerUsedByContainer), errors.Is(err, cs.ErrLayerHasChildren), errors.Is(err, cs.ErrLayerUsedByImage):
		return fmt.Errorf("%w: %w", ErrInUse, err)
	case errors.Is(err, cs.ErrDuplicateID), errors.Is(err, cs.ErrDuplicateName):
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	return err
}
