package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// CreateOptions of Create.
type CreateOptions struct {
	Rootless bool
	// Volatile leaves out the syncs: the volume belongs to a container that a reboot discards.
	Volatile bool
}

// Create makes the volume that spec describes and returns it; made is false when it was there. ErrExists says that the
// one there differs. It appears whole, by a rename, or not at all.
func (s *Store) Create(ctx context.Context, spec *Volume, o CreateOptions) (v *Volume, made bool, err error) {
	if err := CheckName(spec.Name); err != nil {
		return nil, false, err
	}
	if err := CheckOptions(spec.Options, o.Rootless); err != nil {
		return nil, false, fmt.Errorf("making volume %q: %w", spec.Name, err)
	}
	unlock, err := s.lockStore(ctx)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	if v, err := s.read(spec.Name); err == nil {
		if !v.same(spec) {
			return v, false, fmt.Errorf("%w: volume %q has the options %q and the labels %q", ErrExists, v.Name, Text(v.Options), Text(v.Labels))
		}
		return v, false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if err := s.make(spec, o); err != nil {
		return nil, false, fmt.Errorf("making volume %q: %w", spec.Name, err)
	}
	v, err = s.read(spec.Name)
	return v, err == nil, err
}

// make makes the volume's directory under another name first. The caller holds the store's lock.
func (s *Store) make(spec *Volume, o CreateOptions) error {
	tmp, err := os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	data := filepath.Join(tmp, dataDir)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil { // whatever the umask
		return err
	}
	if d := parseDevice(spec.Options); d.owned {
		if err := os.Chown(data, d.uid, d.gid); err != nil {
			return fmt.Errorf("giving it to %d:%d: %w", d.uid, d.gid, err)
		}
	}
	record := *spec
	record.CreatedAt = time.Now()
	b, err := json.Marshal(&record)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(tmp, recordFile), b, !o.Volatile); err != nil {
		return err
	}
	if !o.Volatile {
		if err := syncDir(tmp); err != nil {
			return err
		}
	}
	// A directory of that name which is no volume (it has no _data) is in the way only when it holds something.
	if err := unix.Rename(tmp, filepath.Join(s.dir, spec.Name)); err != nil {
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s is there and has no directory %s; move it away", filepath.Join(s.dir, spec.Name), dataDir)
		}
		return err
	}
	if o.Volatile {
		return nil
	}
	return syncDir(s.dir)
}

func writeFile(path string, b []byte, sync bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
