package edit

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
)

// glob are the paths in from that a pattern names, in order: what has no wildcard stands for itself whether it is there
// or not. Symbolic links on the way to the first wildcard are followed with follow.
func glob(from From, pattern string, follow bool) ([]string, error) {
	parts := strings.Split(strings.Trim(path.Clean("/"+pattern), "/"), "/")
	n := slices.IndexFunc(parts, wild)
	if n < 0 {
		return []string{plain(strings.Join(parts, "/"))}, nil
	}
	at := []string{plain(strings.Join(parts[:n], "/"))}
	for _, part := range parts[n:] {
		var next []string
		for _, dir := range at {
			names, err := matching(from, dir, part, follow)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		at, follow = next, false
	}
	return at, nil
}

// wild tells whether a part of a path has a wildcard, by the rules of path.Match.
func wild(part string) bool {
	for i := 0; i < len(part); i++ {
		switch part[i] {
		case '*', '?', '[':
			return true
		case '\\':
			i++
		}
	}
	return false
}

// plain is a path without wildcards as it is written in a pattern, without the backslashes.
func plain(p string) string {
	if !strings.Contains(p, `\`) {
		return p
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '\\' && i+1 < len(p) {
			i++
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

func matching(from From, dir, pattern string, follow bool) ([]string, error) {
	p, err := tree.Find(from.Root, "/"+dir, follow)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if !p.IsDir() {
		return nil, nil
	}
	f, err := tree.Reopen(p.File, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("reading the directory %q: %w", dir, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("reading the directory %q: %w", dir, err)
	}
	var out []string
	for _, e := range entries {
		ok, err := path.Match(pattern, e.Name())
		if err != nil {
			return nil, fmt.Errorf("invalid pattern %q: %w", pattern, err)
		}
		if !ok {
			continue
		}
		name := path.Join(strings.Trim(path.Join(p.Dir, p.Base), "/"), e.Name())
		if take, enter, err := from.pick(name, e.IsDir()); err != nil {
			return nil, err
		} else if take || enter && e.IsDir() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// pick is what the ignore file leaves of a path.
func (f From) pick(name string, dir bool) (take, enter bool, err error) {
	if f.Hide == nil || name == "" || name == "." {
		return true, true, nil
	}
	hidden, err := f.Hide.MatchesOrParentMatches(name)
	if err != nil {
		return false, false, fmt.Errorf("matching %q with the patterns to ignore: %w", name, err)
	}
	return !hidden, !hidden || f.Hide.Exclusions(), nil
}

// Open is a handle of a file of the tree by its path; the error is os.ErrNotExist where it is not there or hidden.
func (f From) Open(name string) (*tree.Place, error) {
	p, err := tree.Find(f.Root, "/"+name, true)
	if err != nil {
		return nil, err
	}
	in := strings.Trim(path.Join(p.Dir, p.Base), "/")
	take, enter, err := f.pick(in, p.IsDir())
	if err == nil && (p.File == nil || !take && !(enter && p.IsDir())) {
		err = fmt.Errorf("%q: %w", "/"+strings.Trim(name, "/"), os.ErrNotExist)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}
