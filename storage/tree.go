package storage

import (
	"errors"
	"fmt"
	"io"

	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/chrootarchive"
)

// PackTree writes the directory dir to w as a tar archive, its owners numbered as in this process's user namespace. The
// library reads it in a child process chrooted to dir, so that no link in it leads outside.
func PackTree(dir string, w io.Writer) error {
	r, err := chrootarchive.Tar(dir, &archive.TarOptions{InUserNS: inUserNamespace()}, dir)
	if err != nil {
		return fmt.Errorf("packing %s: %w", dir, err)
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("packing %s: %w", dir, err)
	}
	return nil
}

// UnpackTree unpacks a tar archive, which may be compressed, into the directory dir, in a child process chrooted there.
// Devices are left out where the user namespace has none.
func UnpackTree(r io.Reader, dir string) error {
	if err := chrootarchive.Untar(r, dir, &archive.TarOptions{InUserNS: inUserNamespace()}); err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	return nil
}
