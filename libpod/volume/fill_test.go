package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func fill(t *testing.T, s *Store, v *Volume, src string) error {
	t.Helper()
	d, err := openDir(unix.AT_FDCWD, src)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, release, err := s.Acquire(t.Context(), v, d, func(err error) { t.Log(err) })
	if err == nil {
		release()
	}
	return err
}

func TestFill(t *testing.T) {
	s, src := newStore(t, "v"), t.TempDir()
	write(t, filepath.Join(src, "dir/f"), "x")
	write(t, filepath.Join(src, "g"), "y")
	for _, err := range []error{os.Symlink("/etc/passwd", filepath.Join(src, "link")), os.Link(filepath.Join(src, "g"), filepath.Join(src, "dir/same")),
		unix.Chmod(filepath.Join(src, "g"), 0o4711), unix.Chmod(src, 0o1775), unix.Mkfifo(filepath.Join(src, "pipe"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	attr := unix.Setxattr(filepath.Join(src, "g"), "user.test", []byte("v"), 0)
	old := unix.NsecToTimespec(1e18)
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(src, "g"), []unix.Timespec{old, old}, 0); err != nil {
		t.Fatal(err)
	}
	v := get(t, s, "v")
	if err := fill(t, s, v, src); err != nil {
		t.Fatal(err)
	}
	data := v.Mountpoint()
	equal(t, "copy", tree(t, data), "dir dir/f=x dir/same=y g=y link->/etc/passwd pipe")
	a, _ := os.Stat(filepath.Join(data, "g"))
	b, _ := os.Stat(filepath.Join(data, "dir/same"))
	top, _ := os.Stat(data)
	if !os.SameFile(a, b) || a.Mode() != 0o711|os.ModeSetuid || a.ModTime().UnixNano() != 1e18 || top.Mode() != os.ModeDir|os.ModeSticky|0o775 {
		t.Errorf("%v %v %v %v", os.SameFile(a, b), a.Mode(), a.ModTime(), top.Mode())
	}
	got := make([]byte, 8)
	if n, err := unix.Getxattr(filepath.Join(data, "g"), "user.test", got); attr == nil && (err != nil || string(got[:n]) != "v") {
		t.Errorf("attribute: %q %v", got, err)
	}
	write(t, filepath.Join(src, "late"), "z")
	if err := fill(t, s, v, src); err != nil {
		t.Fatal(err)
	}
	equal(t, "not again", tree(t, data), "dir dir/f=x dir/same=y g=y link->/etc/passwd pipe")
}

func TestFillSparse(t *testing.T) {
	s, src := newStore(t, "v"), t.TempDir()
	f, err := os.Create(filepath.Join(src, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{f.Truncate(1 << 40), write2(f, "begin", 0), write2(f, "middle", 1<<30+7), f.Close()} {
		if err != nil {
			t.Skipf("no file of a terabyte in %s: %v", src, err)
		}
	}
	v := get(t, s, "v")
	if err := fill(t, s, v, src); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(v.Mountpoint(), "sparse"))
	if err != nil || st.Size() != 1<<40 {
		t.Fatal(st, err)
	}
	if size, err := v.Size(); err != nil || size > 1<<20 {
		t.Errorf("%d bytes on disk: %v", size, err)
	}
	got, err := os.Open(filepath.Join(v.Mountpoint(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	b := make([]byte, 6)
	if _, err := got.ReadAt(b, 1<<30+7); err != nil || string(b) != "middle" {
		t.Errorf("%q %v", b, err)
	}
}

func write2(f *os.File, s string, at int64) error {
	_, err := f.WriteAt([]byte(s), at)
	return err
}

func TestFillCancelled(t *testing.T) {
	s, src := newStore(t, "v"), t.TempDir()
	write(t, filepath.Join(src, "f"), "x")
	d, err := openDir(unix.AT_FDCWD, src)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := get(t, s, "v")
	if _, _, err := s.Acquire(ctx, v, d, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	equal(t, "nothing", tree(t, v.dir), "_data proa.json="+read(t, filepath.Join(v.dir, recordFile)))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRecover has every state that a kill can leave, with what a container has written meanwhile.
func TestRecover(t *testing.T) {
	for name, tt := range map[string]struct{ journal, data, want string }{
		"half a copy":        {filling + "/a", "", ""},
		"half a copy, used":  {filling + "/a", "b", "b=b"},
		"a copy":             {filled + "/a " + filled + "/d/e", "", "a=" + filled + "/a d d/e=" + filled + "/d/e"},
		"a copy, half moved": {filled + "/a " + filled + "/d/e", "d/f a", "a=a d d/e=" + filled + "/d/e d/f=d/f"},
		"file over dir":      {filled + "/d", "d/f", "d d/f=d/f"},
		"dir over file":      {filled + "/d/f", "d", "d=d"},
		"half an import":     {importing + "/a", "a", "a=a"},
		"an import":          {imported + "/a " + imported + "/d/e", "a d/f", "a=" + imported + "/a d d/e=" + imported + "/d/e d/f=d/f"},
		"import dir on file": {imported + "/d/f", "d", "d d/f=" + imported + "/d/f"},
		"import file on dir": {imported + "/d", "d/f", "d d/f=d/f"},
	} {
		for _, inside := range []bool{false, true} { // the journal beside the data, or in it
			t.Run(fmt.Sprint(name, inside), func(t *testing.T) {
				dir := t.TempDir()
				data := filepath.Join(dir, dataDir)
				stage := dir
				if inside {
					stage = data
				}
				if err := os.Mkdir(data, 0o755); err != nil {
					t.Fatal(err)
				}
				for _, f := range strings.Fields(tt.journal) {
					write(t, filepath.Join(stage, f), f)
				}
				for _, f := range strings.Fields(tt.data) {
					write(t, filepath.Join(data, f), f)
				}
				for range 2 { // a second finds nothing to do
					if err := recoverIn(stage, data); err != nil {
						t.Fatal(err)
					}
					equal(t, "data", tree(t, data), tt.want)
				}
				if journal(stage) {
					t.Error("the journal is still there")
				}
			})
		}
	}
}

// TestHostileJournal has what a container may leave in a volume that holds its own journal.
func TestHostileJournal(t *testing.T) {
	host := t.TempDir()
	write(t, filepath.Join(host, "f"), "host")
	for _, n := range journals {
		data := t.TempDir()
		if err := os.Symlink(host, filepath.Join(data, n)); err != nil {
			t.Fatal(err)
		}
		if err := recoverIn(data, data); err != nil {
			t.Error(err)
		}
		equal(t, n, tree(t, data), "")
		write(t, filepath.Join(data, n), "a file")
		if err := recoverIn(data, data); err != nil {
			t.Error(err)
		}
		write(t, filepath.Join(data, n, "f"), "new")
		if err := os.Symlink(host, filepath.Join(data, n, "d")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(host, filepath.Join(data, "d")); err != nil {
			t.Fatal(err)
		}
		if err := recoverIn(data, data); err != nil {
			t.Error(err)
		}
	}
	equal(t, "the host's", tree(t, host), "f=host")
}

func TestImport(t *testing.T) {
	s := newStore(t, "v")
	v := get(t, s, "v")
	write(t, filepath.Join(v.Mountpoint(), "d/f"), "old")
	put := func(name string) error {
		return s.Import(t.Context(), v, func(dir string) error {
			write(t, filepath.Join(dir, name), "new")
			return nil
		})
	}
	if err := put("d/f"); err != nil {
		t.Fatal(err)
	}
	equal(t, "replaced", tree(t, v.Mountpoint()), "d d/f=new")
	if err := put("d"); err == nil || !strings.Contains(err.Error(), `"d" is a directory`) {
		t.Error(err)
	}
	boom := errors.New("boom")
	if err := s.Import(t.Context(), v, func(dir string) error { write(t, filepath.Join(dir, "x"), "x"); return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	equal(t, "as it was", tree(t, v.Mountpoint()), "d d/f=new")
	if journal(v.dir) {
		t.Error("a journal is left")
	}
}

func TestChown(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d/f"), "x")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Chown(dir, os.Getuid(), os.Getgid()); err != nil {
		t.Error(err)
	}
	if err := Chown(filepath.Join(dir, "nosuch"), 0, 0); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if os.Getuid() == 0 {
		if err := Chown(dir, 1, 2); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"", "d", "d/f", "link"} {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(dir, n), &st); err != nil || st.Uid != 1 || st.Gid != 2 {
				t.Errorf("%q: %d:%d %v", n, st.Uid, st.Gid, err)
			}
		}
	}
}
