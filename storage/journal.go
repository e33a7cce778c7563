package storage

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A journal is a file that is there, and locked, while a process does what takes several steps. Its name says what the work
// is at, its text how far that is. One that is there and not locked is of a process that was killed.

// errNotYet says that what a journal is about has to be mended later: it stays.
var errNotYet = errors.New("not yet")

// openJournal makes the journal of that name, locked.
func openJournal(dir, name string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err == nil {
			err = unix.Fstat(int(f.Fd()), &st)
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(f.Name()), f.Close())
		}
		if st.Nlink > 0 {
			return f, nil
		}
		f.Close() // swept before it was locked
	}
}

// sweepJournals has mend finish or undo what killed processes were at, and then removes their journals.
func sweepJournals(dir string, mend func(name, text string) error) error {
	left, err := os.ReadDir(dir)
	if err != nil {
		return nil // the directory is made with the first journal
	}
	for _, f := range left {
		if err := sweepJournal(filepath.Join(dir, f.Name()), mend); err != nil {
			return err
		}
	}
	return nil
}

func sweepJournal(path string, mend func(name, text string) error) error {
	journal, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer journal.Close()
	if unix.Flock(int(journal.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // its process lives
	}
	text, err := io.ReadAll(io.LimitReader(journal, 128))
	if err == nil {
		err = mend(filepath.Base(path), string(text))
	}
	if errors.Is(err, errNotYet) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
