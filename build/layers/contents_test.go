package layers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	ftree "github.com/proa-containers/proa/libpod/tree"
)

// sumOf is what c says of a file.
func sumOf(t *testing.T, c *contents, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	sum, err := c.sum(&ftree.Node{Content: f, Stat: &st})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// TestContents: a change of a file is seen whatever its time says, and one that just changed is not remembered.
func TestContents(t *testing.T) {
	dir := t.TempDir()
	file, known := filepath.Join(dir, "f"), filepath.Join(dir, "contents")
	if err := os.WriteFile(file, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	reopen := func() *contents {
		t.Helper()
		c, err := openContents(known)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := reopen()
	one := sumOf(t, c, file)
	if c.fresh {
		t.Error("a file that was changed a moment ago is remembered")
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	c.known[stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}] = one
	c.fresh = true
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if c = reopen(); len(c.known) != 1 || sumOf(t, c, file) != one {
		t.Errorf("saved and read: %v", c.known)
	}
	before := time.Unix(0, st.Mtim.Nano())
	if err := os.WriteFile(file, []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, before, before); err != nil { // as tar -x and rsync do
		t.Fatal(err)
	}
	if sumOf(t, c, file) == one {
		t.Error("a change with the old time is not seen")
	}
	if err := os.WriteFile(known, []byte("1 2 3\nx y z 1 1 "+one+"\n\x00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c = reopen(); len(c.known) != 0 {
		t.Errorf("of a broken file: %v", c.known)
	}
}

func TestKeys(t *testing.T) {
	name := func(kind string, parts ...any) string {
		k := newKey(kind)
		k.add(parts...)
		return k.name()
	}
	seen := map[string]bool{}
	for _, n := range []string{name("a"), name("b"), name("a", ""), name("a", "", ""), name("a", "xy"), name("a", "x", "y"), name("a", []byte("1:x")), name("a", "x")} {
		if seen[n] {
			t.Errorf("two lists of parts have the key %s", n)
		}
		seen[n] = true
	}
	if name("a", "x") != name("a", "x") {
		t.Error("a key is not always the same")
	}
}
