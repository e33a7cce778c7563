package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/proa-containers/proa/libpod/tree"
	"github.com/proa-containers/proa/storage/overlay"
	"golang.org/x/sys/unix"
)

// Export writes the container's files to w as a tar archive, without what is mounted in it, running or not.
func (e *Engine) Export(ctx context.Context, c *Container, w io.Writer) error {
	root, err := e.readRoot(c)
	if err != nil {
		return err
	}
	defer root.Close()
	sink := tree.Archive(w)
	if err := tree.Walk(ctx, root, ".", unrooted{sink}, e.warn); err != nil {
		return fmt.Errorf("exporting container %q: %w", c.Name, err)
	}
	if err := sink.Close(); err != nil {
		return err
	}
	e.say(c, "export")
	return nil
}

// unrooted leaves the root itself out: an image that is made of the archive has its own.
type unrooted struct{ tree.Sink }

func (u unrooted) Put(ctx context.Context, n *tree.Node) error {
	if n.Name == "." {
		return nil
	}
	return u.Sink.Put(ctx, n)
}

// readRoot is the container's root for reading alone. It is mounted another time, without an upper directory: what is
// mounted in a running container does not cover it, and a stopped one can be started meanwhile.
func (e *Engine) readRoot(c *Container) (*os.File, error) {
	if c.Rootfs != "" && !c.RootfsCopy {
		f, err := os.OpenFile(c.Rootfs, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, fmt.Errorf("opening --rootfs %q: %w", c.Rootfs, errors.Unwrap(err))
		}
		return f, nil
	}
	o, err := e.layerOf(c)
	if err != nil {
		return nil, err
	}
	f, err := overlay.Options{Lower: slices.Concat([]string{o.Upper}, o.Lower), UserXattr: o.UserXattr, Label: o.Label, Extra: o.Extra}.Mount()
	if err != nil {
		return nil, fmt.Errorf("mounting the root of container %q: %w", c.Name, err)
	}
	return f, nil
}
