package storage

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	packer "github.com/vbatts/tar-split/tar/storage"
	drivers "go.podman.io/storage/drivers"

	"github.com/proa-containers/proa/storage/overlay"
)

// describe archives the directory to learn the layer's digest and size, and keeps what tar-split needs to make the same
// archive of the directory again.
func (st *stage) describe(ctx context.Context, mount overlay.Options, out *drivers.DriverWithDifferOutput) (err error) {
	r, err := LayerArchive(mount)
	if err != nil {
		return err
	}
	defer r.Close()
	split, err := os.CreateTemp(st.path, "split-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			split.Close()
		}
	}()
	sum, size, ids := digest.Canonical.Digester(), &counter{}, newOwners()
	tee := io.TeeReader(&contextReader{ctx, r}, io.MultiWriter(sum.Hash(), size, ids))
	payload, done, err := asm.NewInputTarStreamWithDone(tee, packer.NewJSONPacker(split), packer.NewDiscardFilePutter())
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, payload)
	payload.Close()
	if err = errors.Join(err, <-done); err != nil {
		return err
	}
	out.UIDs, out.GIDs = ids.close()
	out.UncompressedDigest, out.Size, out.TarSplit = sum.Digest(), size.n, split
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// owners collects the ids in an archive that is written to it.
type owners struct {
	*io.PipeWriter
	uids, gids map[uint32]bool
	done       chan struct{}
}

func newOwners() *owners {
	r, w := io.Pipe()
	o := &owners{w, map[uint32]bool{}, map[uint32]bool{}, make(chan struct{})}
	go func() {
		defer close(o.done)
		for t := tar.NewReader(r); ; {
			h, err := t.Next()
			if err != nil {
				_, _ = io.Copy(io.Discard, r)
				return
			}
			o.uids[uint32(h.Uid)], o.gids[uint32(h.Gid)] = true, true
		}
	}()
	return o
}

func (o *owners) close() (uids, gids []uint32) {
	o.PipeWriter.Close()
	<-o.done
	return sortedKeys(o.uids), sortedKeys(o.gids)
}

func sortedKeys(m map[uint32]bool) []uint32 {
	out := make([]uint32, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
