package state

import (
	"fmt"
	"os"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// filled is a store whose durable file has records on many pages.
func filled(t testing.TB) (s *Store, file []byte) {
	t.Helper()
	s = New(t.TempDir(), t.TempDir())
	for i := range 12 {
		r := Record{id(fmt.Sprintf("%02x", i)), fmt.Sprintf("name%d", i), false, make([]byte, 3000)}
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(s.durable)
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

// use does what commands do with the file.
func use(s *Store) error {
	_, listErr := s.List()
	_, findErr := s.Find("name3")
	addErr := s.Add(Record{id("ff"), "new", false, make([]byte, 9000)})
	rmErr := s.Remove(Record{ID: id("03"), Name: "name3"})
	for _, err := range []error{listErr, findErr, addErr, rmErr} {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestDamagedFileIsAnError(t *testing.T) {
	s, good := filled(t)
	page := os.Getpagesize()
	for name, change := range map[string]func([]byte) []byte{
		"text":              func([]byte) []byte { return []byte("no database\n") },
		"zeros":             func(b []byte) []byte { return make([]byte, len(b)) },
		"cut in the middle": func(b []byte) []byte { return b[:len(b)/2/page*page] },
		"cut to its metas":  func(b []byte) []byte { return b[:2*page] },
		"no meta page":      func(b []byte) []byte { copy(b, make([]byte, 2*page)); return b },
		"no data pages":     func(b []byte) []byte { copy(b[2*page:], make([]byte, len(b))); return b },
		"noise in the data pages": func(b []byte) []byte {
			for i := 2 * page; i < len(b); i++ {
				b[i] ^= byte(i * 7)
			}
			return b
		},
	} {
		bad := change(append([]byte(nil), good...))
		if err := os.WriteFile(s.durable, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		err := use(s)
		if err == nil || !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), s.durable) ||
			!strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(s.durable); err != nil { // as the error says
		t.Fatal(err)
	}
	if err := s.Add(Record{ID: id("ff"), Name: "new"}); err != nil {
		t.Errorf("after it was moved away: %v", err)
	}
}

func TestVersionThatIsNone(t *testing.T) {
	for _, v := range []string{"", "x", "0", "-1"} {
		s := New(t.TempDir(), t.TempDir())
		mustAdd(t, s, Record{ID: id("a"), Name: "a"})
		rawUpdate(t, s.durable, func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Put(versionKey, []byte(v)) })
		if err := use(s); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("version %q: %v", v, err)
		}
	}
}

// FuzzDamage does to a database what a disk does: blocks that were never written, an end that is missing, a torn meta
// page. proa may find an error or records, but never dies of it. Bytes that change within a data page and leave its
// shape are not looked for: bbolt has no checksum of them.
func FuzzDamage(f *testing.F) {
	_, good := filled(f)
	f.Add(uint16(3), uint16(1), uint32(0), []byte{}, uint32(0))
	f.Add(uint16(0), uint16(0), uint32(0), []byte{0xff, 0xff, 0xff}, uint32(16))
	f.Add(uint16(9), uint16(40), uint32(5000), []byte{1, 0, 200, 200}, uint32(60))
	f.Add(uint16(0), uint16(1), uint32(8192), []byte("abc"), uint32(4096+16))
	dir, run := f.TempDir(), f.TempDir()
	f.Fuzz(func(t *testing.T, block, blocks uint16, cut uint32, change []byte, at uint32) {
		const size = 512
		page := os.Getpagesize()
		bad := append([]byte(nil), good...)
		copy(bad[int(at)%(2*page):2*page], change)
		from := int(block) * size % len(bad)
		clear(bad[from:min(len(bad), from+int(blocks)*size)])
		bad = bad[:len(bad)-int(cut)%len(bad)]
		s := New(dir, run)
		if err := os.WriteFile(s.durable, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = use(s)
	})
}
