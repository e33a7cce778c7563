package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The layout below the store's directory, which is Podman's too:
//
//	NAME.json       a network
//	netavark.lock   the lock of whoever changes them (lock.go)
//	.proa-*         a file that is being written, or one whose writer was killed
const (
	suffix     = ".json"
	tempPrefix = ".proa-"
)

// ErrNotFound says that there is no such network.
var ErrNotFound = errors.New("no such network")

// ErrExists says that there is a network of that name.
var ErrExists = errors.New("the network exists")

// ErrDamaged says that a network's file can't be read.
var ErrDamaged = errors.New("the network's file is damaged")

// Store is the directory that holds the networks' configurations.
type Store struct {
	dir     string
	backend string // where Podman 4 notes which of CNI and netavark it uses
	rootful bool
}

// New is the store at Podman's place: root's in /etc, another user's below the image store's root.
func New(graphRoot string, rootless bool) *Store {
	s := &Store{filepath.Join(graphRoot, "networks"), filepath.Join(graphRoot, "defaultNetworkBackend"), !rootless}
	if s.rootful {
		s.dir = "/etc/containers/networks"
	}
	return s
}

// Dir is the directory.
func (s *Store) Dir() string { return s.dir }

func (s *Store) file(name string) string { return filepath.Join(s.dir, name+suffix) }

// Canonical is the name under which a network is stored: Docker's name of the default one is another.
func Canonical(name string) string {
	if name == Bridge {
		return Default
	}
	return name
}

// Get finds a network by name, id or prefix of an id. By name it reads one file.
func (s *Store) Get(ref string) (*Network, error) { return s.get(ref, s.read) }

func (s *Store) get(ref string, read func(string) (*Network, error)) (*Network, error) {
	name := Canonical(ref)
	if ValidName(name) {
		n, err := read(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		if name == Default {
			return s.builtin(), nil
		}
	}
	if !hexadecimal(ref) {
		return nil, fmt.Errorf("%w: %q; `proa network ls` lists them", ErrNotFound, ref)
	}
	list, _, err := s.list(read)
	if err != nil {
		return nil, err
	}
	var found *Network
	for _, n := range list {
		if !strings.HasPrefix(n.ID, ref) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the id %q is that of more than one network, as %q and %q; give more digits", ref, found.Name, n.Name)
		}
		found = n
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %q; `proa network ls` lists them", ErrNotFound, ref)
	}
	return found, nil
}

// List returns the networks in order of name, the default one always among them; bad are those whose file can't be read,
// each error naming its file.
func (s *Store) List() (list []*Network, bad []error, err error) { return s.list(s.read) }

func (s *Store) list(read func(string) (*Network, error)) (list []*Network, bad []error, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("listing networks: %w", err)
	}
	builtin := true
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		builtin = builtin && name != Default
		n, err := read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			bad = append(bad, err)
		default:
			list = append(list, n)
		}
	}
	if builtin {
		list = append(list, s.builtin())
	}
	slices.SortFunc(list, func(a, b *Network) int { return strings.Compare(a.Name, b.Name) })
	return list, bad, nil
}

// read reads one network; fs.ErrNotExist when it is none. Podman writes its files in place: one that can't be read
// may be one that is being written, which the lock tells. Who has the lock calls readOnce.
func (s *Store) read(name string) (*Network, error) {
	n, err := s.readOnce(name)
	if !errors.Is(err, ErrDamaged) {
		return n, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if unlock, lockErr := s.lock(ctx, unix.F_RDLCK); lockErr == nil {
		defer unlock()
		return s.readOnce(name)
	}
	return n, err
}

func (s *Store) readOnce(name string) (*Network, error) {
	path := s.file(name)
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("reading network %q: %w", name, err)
	}
	n, err := decode(b)
	if err == nil && n.Name != name {
		err = fmt.Errorf("it says that its name is %q", n.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading network %q: %w: %s: %w; mend or remove that file", name, ErrDamaged, path, err)
	}
	return n, nil
}

// Spec is what Create is to make: a network whose ID, Created and, where they are missing, Name, Subnets and
// NetworkInterface are chosen.
type Spec struct {
	Network
	Host   Host // what the host has already
	Ignore bool // take a network of that name that exists
}

// Create checks and stores a network and returns it as it is stored; made is false when it was there.
func (s *Store) Create(ctx context.Context, spec Spec) (n *Network, made bool, err error) {
	n = new(spec.Network)
	if n.Name != "" {
		if err := CheckName(n.Name); err != nil {
			return nil, false, err
		}
	}
	unlock, err := s.lockAll(ctx)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	others, _, err := s.list(s.readOnce)
	if err != nil {
		return nil, false, err
	}
	if n.Name != "" {
		if i := slices.IndexFunc(others, func(o *Network) bool { return o.Name == n.Name }); i >= 0 {
			if spec.Ignore {
				return others[i], false, nil
			}
			return nil, false, fmt.Errorf("%w: %q; choose another name, or give --ignore to take it as it is", ErrExists, n.Name)
		}
		if _, err := os.Lstat(s.file(n.Name)); err == nil {
			_, err = s.readOnce(n.Name)
			return nil, false, err
		}
	}
	if err := complete(n, others, spec.Host); err != nil {
		return nil, false, err
	}
	n.Created, n.Proa = time.Now(), true
	b, err := encode(n)
	if err != nil {
		return nil, false, err
	}
	if err := errors.Join(s.chooseNetavark(), s.write(n.Name, b)); err != nil {
		return nil, false, fmt.Errorf("storing network %q: %w", n.Name, err)
	}
	return n, true, nil
}

// UpdateDNS changes a network's own name servers. Fields that proa does not know stay as they are.
func (s *Store) UpdateDNS(ctx context.Context, ref string, add, drop []string) (*Network, error) {
	unlock, err := s.lockAll(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	n, err := s.get(ref, s.readOnce)
	if err != nil {
		return nil, err
	}
	servers, err := editServers(n, add, drop)
	if err != nil {
		return nil, fmt.Errorf("updating network %q: %w", n.Name, err)
	}
	n.DNSServers = servers
	b, err := readSmall(s.file(n.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist): // the default one, which has no file yet
		b, err = encode(n)
	case err == nil:
		b, err = setField(b, "network_dns_servers", servers, len(servers) == 0)
	}
	if err == nil {
		err = s.write(n.Name, b)
	}
	if err != nil {
		return nil, fmt.Errorf("updating network %q: %w", n.Name, err)
	}
	return n, nil
}

// UsedError says which containers use a network that was to be removed.
type UsedError struct {
	Network string
	Users   []string
}

func (e *UsedError) Error() string {
	return fmt.Sprintf("network %q is in use by %s; remove that first, or give --force to remove it too", e.Network, strings.Join(e.Users, ", "))
}

// Remove removes networks that nobody uses, and returns an error for each that stays. users is asked under the lock that
// Hold takes.
func (s *Store) Remove(ctx context.Context, list []*Network, users func() (map[string][]string, error)) (gone []*Network, errs []error) {
	unlock, err := s.lockAll(ctx)
	if err != nil {
		return nil, []error{err}
	}
	defer unlock()
	used, err := users()
	if err != nil {
		return nil, []error{err}
	}
	for _, n := range list {
		if n.Name == Default {
			errs = append(errs, fmt.Errorf("network %q (%q) is the default one and can't be removed", Bridge, Default))
			continue
		}
		if by := used[n.Name]; len(by) > 0 {
			errs = append(errs, &UsedError{n.Name, by})
			continue
		}
		switch err := os.Remove(s.file(n.Name)); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("%w: %q", ErrNotFound, n.Name))
		case err != nil:
			errs = append(errs, fmt.Errorf("removing network %q: %w", n.Name, err))
		default:
			gone = append(gone, n)
		}
	}
	if len(gone) > 0 {
		if err := syncDir(s.dir); err != nil {
			errs = append(errs, fmt.Errorf("removing networks: %w", err))
		}
	}
	return gone, errs
}
