// Package volume owns volumes: their directories, which are where Podman has its own ($graphroot/volumes/NAME/_data),
// the record beside each, and what fills them. Who uses a volume is the engine's to know; this package asks through a
// function. It runs in proa, as uid 0 of proa's user namespace or as root. docs/design/0004-volumes.md says why.
package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The layout below the store's directory. A name of a volume starts with a letter or digit; everything that starts with
// a dot is an operation under way, or one whose process was killed.
//
//	NAME/_data          the content
//	NAME/proa.json      the record; Podman's volumes have none
//	NAME/.proa-*        a journal of fill.go
//	.proa-new-*         a volume that is being made
//	.proa-gone-*        a volume that is being removed
const (
	dataDir    = "_data"
	recordFile = "proa.json"
	newPrefix  = ".proa-new-"
	gonePrefix = ".proa-gone-"
)

// Driver is the only driver there is.
const Driver = "local"

// AnonymousLabel is Docker's mark of a volume that was made without a name.
const AnonymousLabel = "com.docker.volume.anonymous"

// ErrNotFound says that there is no volume of that name.
var ErrNotFound = errors.New("no such volume")

// ErrExists says that a volume of that name has other options or labels.
var ErrExists = errors.New("the volume exists with other options or labels")

// Store is the directory that holds the volumes.
type Store struct{ dir string }

// New is the store below the image store's root.
func New(graphRoot string) *Store { return &Store{filepath.Join(graphRoot, "volumes")} }

// Volume is one volume.
type Volume struct {
	Name      string            `json:"name"`
	CreatedAt time.Time         `json:"createdAt"`
	Labels    map[string]string `json:"labels,omitempty"`
	Options   map[string]string `json:"options,omitempty"`
	// Owner is the id of the container that the volume goes with when that ends; a reboot discards the container's record.
	Owner string `json:"owner,omitempty"`

	// Foreign: the directory is there and no record. Another tool, as Podman, made it and may know more of it.
	Foreign bool `json:"-"`
	dir     string
}

// Anonymous tells whether the volume was made without a name.
func (v *Volume) Anonymous() bool { _, ok := v.Labels[AnonymousLabel]; return ok }

// Mountpoint is where the content is, or is mounted while a container uses it.
func (v *Volume) Mountpoint() string {
	if d := v.device(); d.bind {
		return d.source
	}
	return filepath.Join(v.dir, dataDir)
}

// ValidName tells whether name is one for volumes.
func ValidName(name string) bool {
	for i, r := range name {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("_.-", r)) {
			return false
		}
	}
	return name != "" && len(name) <= unix.NAME_MAX
}

// CheckName is ValidName as an error.
func CheckName(name string) error {
	if !ValidName(name) {
		return fmt.Errorf("invalid volume name %q: letters, digits, _ . and -, the first a letter or digit; or for a directory of the host its absolute path", name)
	}
	return nil
}

// Get finds a volume.
func (s *Store) Get(name string) (*Volume, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	v, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return v, err
}

// read looks at the directory of a volume; fs.ErrNotExist when it is none.
func (s *Store) read(name string) (*Volume, error) {
	v := &Volume{Name: name, dir: filepath.Join(s.dir, name)}
	st, err := os.Lstat(filepath.Join(v.dir, dataDir))
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, fs.ErrNotExist
	}
	b, err := os.ReadFile(filepath.Join(v.dir, recordFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.Foreign, v.CreatedAt = true, birth(v.dir)
		return v, nil
	case err != nil:
		return nil, fmt.Errorf("reading the record of volume %q: %w", name, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("reading the record of volume %q: %s is damaged (%w); remove that file to use the volume without its labels and options", name, filepath.Join(v.dir, recordFile), err)
	}
	v.Name = name
	return v, nil
}

func birth(path string) time.Time {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME|unix.STATX_MTIME, &st); err != nil {
		return time.Time{}
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	}
	return time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec))
}

// List returns the volumes in order of name; bad are those whose record can't be read.
func (s *Store) List() (list []*Volume, bad []error, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("listing volumes: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !ValidName(e.Name()) {
			continue
		}
		v, err := s.read(e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile, or not a volume
		case err != nil:
			bad = append(bad, err)
		default:
			list = append(list, v)
		}
	}
	return list, bad, nil
}

// same tells whether v is what spec asks for; a spec without labels and options takes any.
func (v *Volume) same(spec *Volume) bool {
	return (len(spec.Labels) == 0 || maps.Equal(v.Labels, spec.Labels)) && (len(spec.Options) == 0 || maps.Equal(v.Options, spec.Options))
}

// sorted are m's entries as KEY=VALUE.
func sorted(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// Text is m as a list of KEY=VALUE by commas.
func Text(m map[string]string) string { return strings.Join(sorted(m), ",") }
