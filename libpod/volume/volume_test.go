package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newStore(t *testing.T, names ...string) *Store {
	t.Helper()
	s := New(t.TempDir())
	for _, n := range names {
		if _, made, err := s.Create(t.Context(), &Volume{Name: n}, CreateOptions{Rootless: true}); err != nil || !made {
			t.Fatal(made, err)
		}
	}
	return s
}

func get(t *testing.T, s *Store, name string) *Volume {
	t.Helper()
	v, err := s.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree is what is below dir: paths, and what files hold and links lead to.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		line := strings.TrimPrefix(p, dir+"/")
		switch {
		case e.Type()&os.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			line += "->" + to
		case e.Type().IsRegular():
			b, _ := os.ReadFile(p)
			line += "=" + string(b)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func nobody() (map[string][]string, error) { return nil, nil }

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "a.b_c-d": true, "0": true, "": false, ".": false, "..": false, ".a": false, "a/b": false, "-a": false, "ä": false,
		"a b": false, "a\n": false, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false} {
		if ValidName(name) != want || (CheckName(name) == nil) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		o        map[string]string
		rootless string // part of the error, "" for none
		root     string
	}{
		{nil, "", ""},
		{map[string]string{"o": "uid=1,gid=2"}, "", ""},
		{map[string]string{"o": "uid=x"}, "uid=x", "uid=x"},
		{map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1"}, "", ""},
		{map[string]string{"type": "tmpfs"}, "", ""},
		{map[string]string{"type": "none", "o": "bind", "device": "/x"}, "", ""},
		{map[string]string{"type": "bind", "device": "/x"}, "", ""},
		{map[string]string{"o": "rbind,ro", "device": "/x"}, "", ""},
		{map[string]string{"type": "none", "o": "bind"}, "absolute", "absolute"},
		{map[string]string{"type": "ext4", "o": "bind", "device": "/x"}, "exclude", "exclude"},
		{map[string]string{"type": "nfs", "o": "addr=h", "device": ":/x"}, "root alone", ""},
		{map[string]string{"type": "nfs"}, "root alone", "device"},
		{map[string]string{"device": "/x"}, "type", "type"},
		{map[string]string{"copy": "1"}, "copy", "copy"},
	} {
		for who, want := range map[bool]string{true: tt.rootless, false: tt.root} {
			err := CheckOptions(tt.o, who)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("CheckOptions(%v, rootless %v) = %v, want %q", tt.o, who, err, want)
			}
		}
	}
}

func TestCreate(t *testing.T) {
	s := newStore(t)
	spec := &Volume{Name: "v", Labels: map[string]string{"a": "1"}, Options: map[string]string{"type": "tmpfs"}}
	before := time.Now()
	v, made, err := s.Create(t.Context(), spec, CreateOptions{})
	if err != nil || !made || v.Labels["a"] != "1" || !v.Mounted() || v.CreatedAt.Before(before.Add(-time.Second)) || v.Anonymous() || v.Foreign {
		t.Fatalf("%+v %v %v", v, made, err)
	}
	if _, made, err := s.Create(t.Context(), &Volume{Name: "v"}, CreateOptions{}); made || err != nil {
		t.Error(made, err)
	}
	if _, _, err := s.Create(t.Context(), &Volume{Name: "v", Labels: map[string]string{"a": "2"}}, CreateOptions{}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if _, err := s.Get("nosuch"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Get("../v"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestRemove(t *testing.T) {
	s := newStore(t, "a", "b", "c")
	write(t, filepath.Join(s.dir, "a", dataDir, "f"), strings.Repeat("x", 10000))
	users := func() (map[string][]string, error) { return map[string][]string{"b": {"container x"}}, nil }
	gone, freed, errs := s.Remove(t.Context(), []*Volume{get(t, s, "a"), get(t, s, "b")}, users)
	var used *UsedError
	if len(gone) != 1 || gone[0].Name != "a" || freed < 10000 || len(errs) != 1 || !errors.As(errs[0], &used) || used.Volume != "b" {
		t.Errorf("%v %d %v", gone, freed, errs)
	}
	// One that a command holds stays.
	_, release, err := s.Acquire(t.Context(), get(t, s, "c"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, errs := s.Remove(t.Context(), []*Volume{get(t, s, "c")}, nobody); len(errs) != 1 || !errors.Is(errs[0], ErrBusy) {
		t.Error(errs)
	}
	c := get(t, s, "c")
	release()
	if _, _, errs := s.Remove(t.Context(), []*Volume{c}, nobody); len(errs) != 0 {
		t.Error(errs)
	}
	if _, _, err := s.Acquire(t.Context(), c, nil, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	equal(t, "left", tree(t, filepath.Join(s.dir, "b", dataDir)), "")
	list, bad, err := s.List()
	if err != nil || len(bad) != 0 || len(list) != 1 || list[0].Name != "b" {
		t.Error(list, bad, err)
	}
}

func TestSweep(t *testing.T) {
	s := newStore(t, "v", "w")
	write(t, filepath.Join(s.dir, newPrefix+"1", dataDir, "f"), "x")
	write(t, filepath.Join(s.dir, gonePrefix+"1", dataDir, "f"), "x")
	write(t, filepath.Join(s.dir, "v", filling, "half"), "x")
	write(t, filepath.Join(s.dir, "w", imported, "f"), "new")
	write(t, filepath.Join(s.dir, "w", dataDir, "f"), "old")
	done, err := s.Sweep(t.Context())
	if err != nil || len(done) != 4 {
		t.Error(done, err)
	}
	equal(t, "v", tree(t, filepath.Join(s.dir, "v", dataDir)), "")
	equal(t, "w", tree(t, filepath.Join(s.dir, "w", dataDir)), "f=new")
	entries, _ := os.ReadDir(s.dir)
	if len(entries) != 2 || journal(filepath.Join(s.dir, "v")) || journal(filepath.Join(s.dir, "w")) {
		t.Error(entries)
	}
	// What a command is at stays.
	write(t, filepath.Join(s.dir, "v", filling, "half"), "x")
	f, err := s.lock(t.Context(), get(t, s, "v"), unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if done, err := s.Sweep(t.Context()); err != nil || len(done) != 0 || !journal(filepath.Join(s.dir, "v")) {
		t.Error(done, err)
	}
}
