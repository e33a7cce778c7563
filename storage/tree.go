package storage

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/moby/sys/userns"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/chrootarchive"
)

// PackTree writes the directory dir to w as a tar archive, its owners numbered as in this process's user namespace. The
// library reads it in a child process chrooted to dir, so that no link in it leads outside.
func PackTree(dir string, w io.Writer) error {
	r, err := chrootarchive.Tar(dir, &archive.TarOptions{InUserNS: userns.RunningInUserNS()}, dir)
	if err != nil {
		return fmt.Errorf("packing %s: %w", dir, err)
	}
	if err = packTop(dir, w); err == nil {
		_, err = io.Copy(w, r)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("packing %s: %w", dir, err)
	}
	return nil
}

// UnpackTree unpacks a tar archive, which may be compressed, into the directory dir, in a child process chrooted there.
// Devices are left out where the user namespace has none.
func UnpackTree(r io.Reader, dir string) error {
	plain, err := archive.DecompressStream(r)
	if err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	defer plain.Close()
	ahead := bufio.NewReaderSize(plain, 8<<10)
	first, _ := ahead.Peek(8 << 10) // a short archive is none, as the library will say
	if err := chrootarchive.UntarUncompressed(ahead, dir, &archive.TarOptions{InUserNS: userns.RunningInUserNS()}); err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	return unpackTop(first, dir)
}

// The library neither packs nor unpacks the directory itself, whose owner and mode decide who may use what is in it.

func packTop(dir string, w io.Writer) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(st, "")
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname = "./", "", ""
	t := tar.NewWriter(w)
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	return t.Flush() // not closed: the library's archive goes on
}

// unpackTop gives dir the owner and mode that an archive, which begins with first, has for it as its first entry.
func unpackTop(first []byte, dir string) error {
	h, err := tar.NewReader(bytes.NewReader(first)).Next()
	if err != nil || h.Typeflag != tar.TypeDir || path.Clean(h.Name) != "." {
		return nil
	}
	if err := os.Chown(dir, h.Uid, h.Gid); err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	if err := os.Chmod(dir, h.FileInfo().Mode()); err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	return nil
}

// Decompress is a stream without its compression by gzip, bzip2, xz or zstd, if it has one.
func Decompress(r io.Reader) (io.ReadCloser, error) { return archive.DecompressStream(r) }
