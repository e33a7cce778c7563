package netd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// Read is the record of the container id; fs.ErrNotExist says that it is on no network. That it still runs is for the
// caller to know: a netd that was killed leaves its records.
func Read(dir, id string) (*Record, error) {
	b, err := os.ReadFile(filepath.Join(dir, RecordsDir, id))
	if err != nil {
		return nil, err
	}
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading the networks of container %.12s: %w", id, err)
	}
	return r, nil
}

// List are all records that can be read.
func List(dir string) ([]*Record, error) {
	files, err := os.ReadDir(filepath.Join(dir, RecordsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the containers on networks: %w", err)
	}
	var out []*Record
	for _, f := range files {
		if strings.Contains(f.Name(), ".") { // being written
			continue
		}
		if r, err := Read(dir, f.Name()); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// PinFile is where the network namespace of the container id is mounted that asked for it, in the mount namespace of the
// monitors.
func PinFile(dir, id string) string { return filepath.Join(dir, PinsDir, id) }

// Lives tells whether a netd serves dir.
func Lives(dir string) bool {
	conn, err := monitor.DialSocket(dir, SocketFile)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Orphaned tells whether a netd was killed that had containers or leaves its namespace: the next one takes over.
func Orphaned(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false // the file goes with a netd that ends by itself
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l) == nil && l.Type == unix.F_UNLCK
}
