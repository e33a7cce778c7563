package output

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/internal/outfile"
	"github.com/proa-containers/proa/libpod/tree"
	"github.com/proa-containers/proa/storage"
)

// Local writes the files of a tree into a directory, as the user's own. What is there is replaced.
func Local(ctx context.Context, s *storage.Store, top, dest string) error {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return fmt.Errorf("making the directory of the output: %w", err)
	}
	dir, err := os.OpenFile(dest, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("opening the directory of the output: %w", err)
	}
	defer dir.Close()
	sink := tree.Extract(tree.Directory{Top: dir, Root: dir, Path: "/", Owner: &tree.Owner{}, Force: true, Warn: func(error) {}})
	return write(ctx, s, top, sink)
}

// Tar writes the files of a tree to a file, - for out, as a tar archive.
func Tar(ctx context.Context, s *storage.Store, top, dest string, out io.Writer) error {
	return toFile(dest, out, func(w io.Writer) error { return write(ctx, s, top, tree.Archive(w)) })
}

// write puts the files of a tree into a sink.
func write(ctx context.Context, s *storage.Store, top string, sink tree.Sink) error {
	root, err := s.MountLayer(top)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := tree.Walk(ctx, root, ".", sink, func(error) {}); err != nil {
		return err
	}
	return sink.Close()
}

// toFile lets f write to a file that is whole or not there, or for - to out.
func toFile(dest string, out io.Writer, f func(io.Writer) error) error {
	if dest == "-" {
		return f(out)
	}
	return outfile.Write(dest, 0o644, f)
}
