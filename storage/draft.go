package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage/pkg/stringid"
	"golang.org/x/sys/unix"
)

// Draft is a layer that an image is about to be made of. It goes with Close, or, when its process is killed, with the
// next Sweep, unless an image has it by then. Layout, in the graph root:
//
//	proa-draft/LAYER    locked while the process lives; holds the id of the image, if that is to be named in a second step
type Draft struct {
	Layer
	store   *Store
	journal *os.File
}

// NewDraft adds a layer on top of parent from an uncompressed tar stream. The layer is named as the library names those
// it pulls, so that every tool can pull an image again that was made here: the name is known at the end of the stream
// alone, which waits in a nameless file until then.
func (s *Store) NewDraft(parent string, tar io.Reader) (*Draft, error) {
	if err := os.MkdirAll(s.drafts(), 0o700); err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	spool, sum, err := s.spool(tar)
	if err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	defer spool.Close()
	d, err := s.newDraft(ChainID(parent, sum), parent, spool)
	if !errors.Is(err, ErrExists) {
		return d, err
	}
	// The same content is there already, or is just being made: perhaps to go again, so it is no layer to build on.
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	return s.newDraft(stringid.GenerateRandomID(), parent, spool)
}

// spool puts a stream into a nameless file, at whose beginning it returns it, and tells its digest.
func (s *Store) spool(tar io.Reader) (*os.File, digest.Digest, error) {
	f, err := os.CreateTemp(s.drafts(), "spool-") // swept like a journal, should its process be killed before the next line
	if err != nil {
		return nil, "", err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	sum := digest.Canonical.Digester()
	_, err = io.Copy(io.MultiWriter(f, sum.Hash()), tar)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return f, sum.Digest(), nil
}

// newDraft is ErrExists when there is a layer of that id, or a draft of one.
func (s *Store) newDraft(id, parent string, tar io.Reader) (*Draft, error) {
	if s.lib.Exists(id) {
		return nil, ErrExists
	}
	journal, err := os.OpenFile(filepath.Join(s.drafts(), id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	d := &Draft{Layer: Layer{ID: id}, store: s, journal: journal}
	if err := unix.Flock(int(journal.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("make a layer: lock its journal: %w", err), d.Close())
	}
	d.Layer, err = s.PutLayer(id, parent, tar)
	if errors.Is(err, ErrExists) { // another tool was faster: the layer is its own
		return nil, errors.Join(err, os.Remove(journal.Name()), journal.Close())
	}
	if err != nil {
		d.ID = id
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ChainID is the id that the library gives to a layer it pulls, from that of the layer beneath it.
func ChainID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.Canonical.FromString(parent + "+" + diffID.Encoded()).Encoded()
}

// CreateImage makes an image of the layer. A name that another image has is taken from it.
func (d *Draft) CreateImage(n NewImage) (Image, error) {
	n.TopLayer = d.ID
	names := n.Names
	n.Names = nil
	if len(names) > 0 {
		if _, err := d.journal.WriteString(n.ID); err != nil {
			return Image{}, fmt.Errorf("create image %q: %w", n.ID, err)
		}
	}
	i, err := d.store.CreateImage(n)
	if err != nil || len(names) == 0 {
		return i, err
	}
	if err := d.store.AddNames(i.ID, names); err != nil {
		_, undo := d.store.DeleteImage(i.ID)
		return Image{}, errors.Join(err, undo)
	}
	return d.store.Image(i.ID)
}

// Close removes the layer unless an image has it.
func (d *Draft) Close() error {
	defer d.journal.Close()
	return d.store.dropDraft(d.ID)
}

func (s *Store) drafts() string { return filepath.Join(s.GraphRoot(), "proa-draft") }

// dropDraft removes a layer that no image has, then its journal. The caller holds the journal's lock.
func (s *Store) dropDraft(id string) error {
	err := s.DeleteLayer(id)
	if errors.Is(err, ErrNotFound) {
		err = s.deleteOrphan(id)
	}
	if err != nil && !errors.Is(err, ErrInUse) {
		return err
	}
	if err := os.Remove(filepath.Join(s.drafts(), id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the journal of layer %q: %w", id, err)
	}
	return nil
}

// sweepDraft removes what a killed process has left of a draft, and the image without a name that it had made of it.
func (s *Store) sweepDraft(id, image string) error {
	if image != "" {
		if i, err := s.Image(image); err == nil && len(i.Names) == 0 {
			if _, err := s.DeleteImage(i.ID); err != nil && !errors.Is(err, ErrInUse) && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	return s.dropDraft(id)
}

// ParentLayer is the id of the layer beneath a container's own, empty when it stands on nothing.
func (s *Store) ParentLayer(container string) (string, error) {
	c, err := s.Container(container)
	if err != nil {
		return "", err
	}
	l, err := s.lib.Layer(c.LayerID)
	if err != nil {
		return "", fmt.Errorf("look up layer %q: %w", c.LayerID, translate(err))
	}
	return l.Parent, nil
}

// Chain are a layer and those beneath it, the lowest first.
func (s *Store) Chain(id string) ([]Layer, error) {
	var out []Layer
	for id != "" {
		l, err := s.lib.Layer(id)
		if err != nil {
			return nil, fmt.Errorf("look up layer %q: %w", id, translate(err))
		}
		out = append([]Layer{newLayer(l)}, out...)
		id = l.Parent
	}
	return out, nil
}
