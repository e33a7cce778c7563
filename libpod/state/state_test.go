package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	return New(t.TempDir(), t.TempDir())
}

func mustAdd(t *testing.T, s *Store, records ...Record) {
	t.Helper()
	for _, r := range records {
		if err := s.Add(r); err != nil {
			t.Fatalf("adding %+v: %v", r, err)
		}
	}
}

func id(prefix string) string { return prefix + strings.Repeat("0", 64-len(prefix)) }

func TestNamesAreUniqueOverBothFiles(t *testing.T) {
	for _, first := range []bool{false, true} {
		for _, second := range []bool{false, true} {
			s := newStore(t)
			mustAdd(t, s, Record{id("a"), "web", first, []byte("1")})
			err := s.Add(Record{id("b"), "web", second, []byte("2")})
			var used *NameInUseError
			if !errors.As(err, &used) || used.ID != id("a") || used.Name != "web" {
				t.Errorf("volatile %v then %v: %v", first, second, err)
			}
			if list, err := s.List(); err != nil || len(list) != 1 {
				t.Errorf("volatile %v then %v: a refused record was stored: %v, %v", first, second, list, err)
			}
			if err := s.Remove(Record{ID: id("a"), Name: "web", Volatile: first}); err != nil {
				t.Fatal(err)
			}
			mustAdd(t, s, Record{id("b"), "web", second, []byte("2")})
		}
	}
}

// TestReservationRace has many commands ask for one name at once, half of them for either file.
func TestReservationRace(t *testing.T) {
	data, run := t.TempDir(), t.TempDir()
	var wg sync.WaitGroup
	won := make(chan string, 16)
	for i := range 16 {
		wg.Go(func() {
			r := Record{id(fmt.Sprintf("%02x", i)), "one", i%2 == 0, nil}
			err := New(data, run).Add(r) // each has files of its own, as each process has
			var used *NameInUseError
			if err == nil {
				won <- r.ID
			} else if !errors.As(err, &used) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	close(won)
	var ids []string
	for w := range won {
		ids = append(ids, w)
	}
	if len(ids) != 1 {
		t.Fatalf("%d commands got the name: %v", len(ids), ids)
	}
	if r, err := New(data, run).Find("one"); err != nil || r.ID != ids[0] {
		t.Errorf("the name belongs to %v (%v), but %v was told so", r.ID, err, ids[0])
	}
}

func TestFind(t *testing.T) {
	s := newStore(t)
	mustAdd(t, s,
		Record{id("abc1"), "durable", false, []byte("d")},
		Record{id("abc2"), "volatile", true, []byte("v")},
		Record{id("f00"), "abc", false, []byte("named like a prefix")},
	)
	for ref, want := range map[string]string{
		"durable": id("abc1"), "volatile": id("abc2"), id("abc1"): id("abc1"), id("abc2"): id("abc2"),
		"abc1": id("abc1"), "abc2": id("abc2"), "f": id("f00"), "abc": id("f00"),
	} {
		r, err := s.Find(ref)
		if err != nil || r.ID != want {
			t.Errorf("Find(%q) = %.6s, %v; want %.6s", ref, r.ID, err, want)
		}
	}
	if r, err := s.Find("abc2"); err != nil || r.Name != "volatile" || !r.Volatile || string(r.Data) != "v" {
		t.Errorf("by prefix: %+v, %v", r, err)
	}
	if _, err := s.Find("ab"); !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), `"ab"`) {
		t.Errorf("a prefix of records in both files: %v", err)
	}
	for _, ref := range []string{"", "none", "abc3", id("abc1") + "0", "durabl"} {
		if r, err := s.Find(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find(%q) = %+v, %v", ref, r, err)
		}
	}
}

func TestPutAndRemove(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		s := newStore(t)
		r := Record{id("a"), "one", volatile, []byte("old")}
		if err := s.Put(r); !errors.Is(err, ErrNotFound) {
			t.Errorf("Put of a record that is not there: %v", err)
		}
		mustAdd(t, s, r)
		r.Data = []byte("new")
		if err := s.Put(r); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Find("one"); err != nil || string(got.Data) != "new" {
			t.Errorf("after Put: %+v, %v", got, err)
		}
		for range 2 {
			if err := s.Remove(r); err != nil {
				t.Errorf("Remove: %v", err)
			}
		}
		if err := s.Put(r); !errors.Is(err, ErrNotFound) {
			t.Errorf("Put brought a removed record back: %v", err)
		}
	}
}

// TestRemoveKeepsAnothersName: the name was given to another container after the first one lost it.
func TestRemoveKeepsAnothersName(t *testing.T) {
	s := newStore(t)
	old := Record{ID: id("a"), Name: "one"}
	mustAdd(t, s, old)
	if err := s.Remove(old); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, Record{ID: id("b"), Name: "one"})
	if err := s.Remove(old); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Find("one"); err != nil || r.ID != id("b") {
		t.Errorf("the name's new owner: %+v, %v", r, err)
	}
}

func TestListIsOrdered(t *testing.T) {
	s := newStore(t)
	mustAdd(t, s, Record{id("c"), "c", true, nil}, Record{id("b"), "b", false, nil}, Record{id("a"), "a", false, nil})
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		got = append(got, r.Name)
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("order %v", got)
	}
}

func TestNothingIsMadeByReading(t *testing.T) {
	s := newStore(t)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("List of nothing: %v, %v", list, err)
	}
	if _, err := s.Find("x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find in nothing: %v", err)
	}
	for _, path := range []string{s.durable, s.volatile} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made: %v", path, err)
		}
	}
}

func TestFilesArePrivate(t *testing.T) {
	s := newStore(t)
	mustAdd(t, s, Record{ID: id("a"), Name: "a"}, Record{ID: id("b"), Name: "b", Volatile: true})
	for _, dir := range []string{filepath.Dir(s.durable), filepath.Dir(s.volatile)} {
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 2 {
			t.Fatalf("%v, %v", files, err)
		}
		for _, f := range files {
			if st, err := f.Info(); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", f.Name(), st.Mode(), err)
			}
		}
	}
}

func TestLockIsNoLink(t *testing.T) {
	s := newStore(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, s.durable+".lock"); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(Record{ID: id("a"), Name: "a"}); err == nil {
		t.Error("a link in the lock's place was followed")
	}
	if _, err := os.Stat(victim); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link's target was made: %v", err)
	}
}

func rawUpdate(t *testing.T, path string, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		s := newStore(t)
		r := Record{id("a"), "one", volatile, []byte("x")}
		mustAdd(t, s, r)
		path := s.path(volatile)
		rawUpdate(t, path, func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Put(versionKey, []byte("99")) })
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, findErr := s.Find("one")
		_, listErr := s.List()
		for name, err := range map[string]error{
			"Find": findErr, "List": listErr, "Put": s.Put(r), "Remove": s.Remove(r),
			"Add": s.Add(Record{id("b"), "two", volatile, nil}), "Add to the other file": s.Add(Record{id("b"), "two", !volatile, nil}),
		} {
			if err == nil || !strings.Contains(err.Error(), "newer proa (schema 99, this one knows 1)") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the newer file was changed (%v)", err)
		}
	}
}

// TestMigrations runs a proa whose schema is two versions on: it changes what it finds once, in order, by whichever
// call comes first, and the old proa then refuses the file.
func TestMigrations(t *testing.T) {
	for _, call := range []func(*Store) error{
		func(s *Store) error { _, err := s.List(); return err },
		func(s *Store) error { return s.Put(Record{ID: id("a"), Data: []byte("put")}) },
	} {
		s := newStore(t)
		mustAdd(t, s, Record{id("a"), "one", false, []byte("one")})
		var order []int
		next := *s
		for v := 1; v < 3; v++ {
			next.migrations = append(next.migrations[:v:v], func(tx *bolt.Tx) error {
				order = append(order, v)
				return tx.Bucket(containersBucket).Put([]byte(id("b")), fmt.Append(nil, "made by ", v))
			})
		}
		if err := call(&next); err != nil {
			t.Fatal(err)
		}
		r, err := next.Find(id("b"))
		if err != nil || string(r.Data) != "made by 2" {
			t.Errorf("after the migration: %+v, %v", r, err)
		}
		if fmt.Sprint(order) != "[1 2]" {
			t.Errorf("migrations ran as %v", order)
		}
		if _, err := s.List(); err == nil || !strings.Contains(err.Error(), "schema 3") {
			t.Errorf("the older proa: %v", err)
		}
	}
}

// TestFailedMigrationChangesNothing: it is one transaction.
func TestFailedMigrationChangesNothing(t *testing.T) {
	s := newStore(t)
	mustAdd(t, s, Record{id("a"), "one", false, []byte("one")})
	next := *s
	boom := errors.New("boom")
	next.migrations = append(migrations(), func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(containersBucket); err != nil {
			return err
		}
		return boom
	})
	if _, err := next.List(); !errors.Is(err, boom) || !strings.Contains(err.Error(), "from schema 1 to 2") {
		t.Errorf("the migration: %v", err)
	}
	if r, err := s.Find("one"); err != nil || string(r.Data) != "one" {
		t.Errorf("after it: %+v, %v", r, err)
	}
}

func TestFirstWriterWasKilled(t *testing.T) {
	s := newStore(t)
	db, err := bolt.Open(s.durable, 0o600, nil) // made, and nothing written
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if err := os.WriteFile(s.volatile, nil, 0o600); err != nil { // not even made
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
	mustAdd(t, s, Record{ID: id("a"), Name: "a"}, Record{ID: id("b"), Name: "b", Volatile: true})
	if list, err := s.List(); err != nil || len(list) != 2 {
		t.Errorf("List: %v, %v", list, err)
	}
}
