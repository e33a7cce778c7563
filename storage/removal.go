package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// DeleteImage removes an image with the layers that nothing else uses and returns those. ErrNotFound or ErrInUse. The
// library takes the image from its list before the layers; a journal lets Sweep finish what a killed process began. Layout,
// in the graph root:
//
//	proa-removal/IMAGE    holds the id of its topmost layer
func (s *Store) DeleteImage(id string) ([]string, error) {
	fail := func(err error) ([]string, error) { return nil, fmt.Errorf("remove image %q: %w", id, translate(err)) }
	i, err := s.lib.Image(id)
	if err != nil {
		return fail(err)
	}
	journal, err := s.openRemoval(i.ID, i.TopLayer)
	if err != nil {
		return fail(err)
	}
	defer journal.Close()
	layers, err := s.lib.DeleteImage(i.ID, true)
	if err != nil && !errors.Is(translate(err), ErrInUse) {
		return fail(err) // it may have begun
	}
	if journal != nil {
		os.Remove(journal.Name())
	}
	if err != nil {
		return fail(err)
	}
	return layers, nil
}

func (s *Store) removals() string { return filepath.Join(s.GraphRoot(), "proa-removal") }

// openRemoval makes the journal for an image, or the container's layer of that id, of which top is to go too. It is nil
// where another process removes the same, or the disk is too full for it: what is removed makes room.
func (s *Store) openRemoval(id, top string) (*os.File, error) {
	journal, err := openJournal(s.removals(), id)
	if err == nil {
		if _, err = journal.WriteString(top); err == nil {
			return journal, nil
		}
		err = errors.Join(err, os.Remove(journal.Name()), journal.Close())
	}
	if errors.Is(err, os.ErrExist) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil, nil
	}
	return nil, err
}

// sweepRemoval finishes the removal of a killed process that had come to the layers.
func (s *Store) sweepRemoval(id, top string) error {
	if _, err := s.lib.Image(id); err == nil {
		return nil
	}
	return s.prune(top)
}

// prune removes a layer that nothing stands on, and those beneath it that nothing stands on then. While a transfer runs,
// which may be about to stand on them, it is errNotYet.
func (s *Store) prune(layer string) error {
	if layer == "" {
		return nil
	}
	if err := os.MkdirAll(s.transfers(), 0o700); err != nil {
		return err
	}
	lock, err := s.openTransferLock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return errNotYet
	}
	for layer != "" {
		l, err := s.lib.Layer(layer)
		if err == nil {
			err = s.lib.DeleteLayer(layer)
		}
		if why := translate(err); errors.Is(why, ErrInUse) || errors.Is(why, ErrNotFound) {
			return nil
		} else if err != nil {
			return why
		}
		layer = l.Parent
	}
	return nil
}

// deleteUnrecorded removes the layer of a container that was not recorded: the process that made it was killed before. An
// image that was removed meanwhile has left the layers that this one stood on, and they go too.
func (s *Store) deleteUnrecorded(id string) error {
	l, err := s.lib.Layer(id)
	if errors.Is(translate(err), ErrNotFound) {
		return s.deleteOrphan(id)
	}
	if err != nil {
		return err
	}
	journal, err := s.openRemoval(id, l.Parent)
	if err != nil {
		return err
	}
	defer journal.Close()
	if err = s.lib.DeleteLayer(id); err == nil {
		err = s.prune(l.Parent)
	}
	if errors.Is(err, errNotYet) {
		return nil // the journal stays
	}
	if journal != nil {
		os.Remove(journal.Name())
	}
	return translate(err)
}
