package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Sentinels of the store.
var (
	ErrExists   = errors.New("a container with this id exists; delete it first or choose another id")
	ErrNotFound = errors.New("no container with this id exists")
)

// Store keeps what the runtime knows of its containers, on a tmpfs:
//
//	ROOT/ID/state.json   Record, replaced atomically
//	ROOT/ID/exec.fifo    from create to start
type Store struct{ Root string }

// DefaultRoot is where the records are when nothing else is asked for.
func DefaultRoot() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "proa-runtime")
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && HostOptions().UserNS {
		return filepath.Join(dir, "proa-runtime")
	}
	return "/run/proa-runtime"
}

// Record is what is written of a container. Whether it runs is asked of the kernel.
type Record struct {
	ID            string            `json:"id"`
	Bundle        string            `json:"bundle"`
	Annotations   map[string]string `json:"annotations,omitempty"`
	Pid           int               `json:"pid"`
	StartTime     uint64            `json:"startTime"` // of the process, in clock ticks since boot
	Created       time.Time         `json:"created"`
	Owner         int               `json:"owner"`
	Rootfs        string            `json:"rootfs"`
	CgroupPaths   map[string]string `json:"cgroupPaths,omitempty"`
	made          os.FileInfo       // the directory, for who made it
	CgroupParents []string          `json:"cgroupParents,omitempty"` // see noteParents
	Systemd       bool              `json:"systemd,omitempty"`
	Rootless      bool              `json:"rootless,omitempty"`
	SharedRoot    bool              `json:"sharedRoot,omitempty"` // see noteRoot
	RootMount     uint64            `json:"rootMount,omitempty"`
	Config        *Config           `json:"spec"`
}

var validID = regexp.MustCompile(`^[A-Za-z0-9_.+-]+$`)

func (s Store) dir(id string) (string, error) {
	if !validID.MatchString(id) || id == "." || id == ".." {
		return "", fmt.Errorf("invalid container id %q: use letters, digits and _+-.", id)
	}
	return filepath.Join(s.Root, id), nil
}

// reserve makes the container's directory; it is the lock against a second creation.
func (s Store) reserve(id string) (string, error) {
	dir, err := s.dir(id)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.Root, 0o700); err != nil {
		return "", fmt.Errorf("make the runtime's directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o711); errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("container %q: %w", id, ErrExists)
	} else if err != nil {
		return "", fmt.Errorf("make the container's directory: %w", err)
	}
	return dir, nil
}

func (s Store) save(r *Record) error {
	dir, err := s.dir(r.ID)
	if err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the container's state: %w", err)
	}
	tmp := filepath.Join(dir, ".state.json")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write the container's state: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, "state.json")); err != nil {
		return fmt.Errorf("write the container's state: %w", err)
	}
	return nil
}

// Load reads the record of a container.
func (s Store) Load(id string) (*Record, error) {
	dir, err := s.dir(id)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("container %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read the container's state: %w", err)
	}
	r := new(Record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read the state of container %q: %w", id, err)
	}
	return r, nil
}

// List gives the records of all containers, by id.
func (s Store) List() ([]*Record, error) {
	entries, err := os.ReadDir(s.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	var out []*Record
	for _, e := range entries {
		if !e.IsDir() {
			continue // a compiled filter
		}
		r, err := s.Load(e.Name())
		if errors.Is(err, ErrNotFound) {
			continue // being created, or just deleted
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

// Statuses beyond those of the specification.
const statusPaused specs.ContainerState = "paused"

// Status asks the kernel.
func (s Store) Status(r *Record) specs.ContainerState {
	if !alive(r.Pid, r.StartTime) {
		return specs.StateStopped
	}
	if _, err := os.Stat(s.fifo(r.ID)); err == nil {
		return specs.StateCreated
	}
	if frozen(r.CgroupPaths) {
		return statusPaused
	}
	return specs.StateRunning
}

func (s Store) fifo(id string) string { return filepath.Join(s.Root, id, "exec.fifo") }

// OCIState is the state of the specification, as hooks get it and the state command prints it.
func (r *Record) OCIState(status specs.ContainerState) *specs.State {
	st := &specs.State{
		Version: specs.Version, ID: r.ID, Status: status, Pid: r.Pid, Bundle: r.Bundle, Annotations: r.Annotations,
	}
	if status == specs.StateStopped {
		st.Pid = 0
	}
	return st
}

// alive reports whether a pid is still the process it was, and not a zombie.
func alive(pid int, started uint64) bool {
	if pid <= 0 {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return false
	}
	n, err := strconv.ParseUint(f[19], 10, 64)
	return err == nil && n == started
}

// open gives a pidfd of the container's process, checked after opening.
func (r *Record) open() (*os.File, error) {
	fd, err := unix.PidfdOpen(r.Pid, 0)
	if err != nil || !alive(r.Pid, r.StartTime) {
		if err == nil {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("container %q is not running", r.ID)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

func frozen(paths map[string]string) bool {
	if dir := paths["freezer"]; dir != "" {
		s := readLine(filepath.Join(dir, "freezer.state"))
		return s == "FROZEN" || s == "FREEZING"
	}
	dir, ok := paths[""]
	return ok && readLine(filepath.Join(dir, "cgroup.freeze")) == "1"
}
