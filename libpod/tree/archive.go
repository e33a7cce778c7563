package tree

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrRecord is how tar's PAX records begin that have extended attributes.
const xattrRecord = "SCHILY.xattr."

type archive struct {
	w   *tar.Writer
	buf *bufio.Writer
}

// Archive is a Sink that writes a tar archive to w.
func Archive(w io.Writer) Sink {
	buf := bufio.NewWriterSize(w, 1<<18)
	return &archive{tar.NewWriter(buf), buf}
}

func (a *archive) Put(ctx context.Context, n *Node) error {
	h := &tar.Header{
		Name: n.Name, Mode: int64(n.Mode & 0o7777), Uid: int(n.UID), Gid: int(n.GID), ModTime: n.ModTime, Format: tar.FormatPAX,
	}
	for k, v := range n.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+k] = v
	}
	switch n.Type() {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, n.Size
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, n.Name+"/"
	case unix.S_IFLNK:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.Target
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if n.Type() == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(n.Rdev)), int64(unix.Minor(n.Rdev))
	}
	if n.Same != "" {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, n.Same, 0
	}
	if err := a.w.WriteHeader(h); err != nil {
		return fmt.Errorf("writing %q to the archive: %w", n.Name, err)
	}
	if h.Size == 0 {
		return nil
	}
	if err := copyContent(ctx, a.w, n.Content, n.Size); err != nil {
		return fmt.Errorf("writing %q to the archive: %w", n.Name, err)
	}
	return nil
}

func (a *archive) Close() error {
	if err := a.w.Close(); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	if err := a.buf.Flush(); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	return nil
}

// ReadArchive puts a tar archive's members into sink; r is read to its end. It may be compressed with gzip or bzip2. Devices
// that only root could make are left out with a word to warn.
func ReadArchive(ctx context.Context, r io.Reader, sink Sink, warn func(error)) error {
	in, err := decompress(r)
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	t := tar.NewReader(in)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, in) // whoever writes it must not be killed by a closed pipe
			return err
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w; a tar archive is wanted", err)
		}
		n, err := member(h, t)
		if err != nil {
			return err
		}
		if n == nil {
			continue
		}
		err = sink.Put(ctx, n)
		if errors.Is(err, errDevice) {
			warn(fmt.Errorf("%w; it is left out", err))
			err = nil
		}
		if err != nil {
			return err
		}
	}
}

// member is a header as a node; nil for one that is no file.
func member(h *tar.Header, content io.Reader) (*Node, error) {
	n := &Node{
		Name: clean(h.Name), Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), ModTime: h.ModTime,
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		n.Mode |= unix.S_IFREG
		n.Size, n.Content = h.Size, content
	case tar.TypeLink:
		n.Mode |= unix.S_IFREG
		n.Same = clean(h.Linkname)
	case tar.TypeDir:
		n.Mode |= unix.S_IFDIR
	case tar.TypeSymlink:
		n.Mode |= unix.S_IFLNK
		n.Target = h.Linkname
	case tar.TypeFifo:
		n.Mode |= unix.S_IFIFO
	case tar.TypeChar, tar.TypeBlock:
		n.Mode |= unix.S_IFCHR
		if h.Typeflag == tar.TypeBlock {
			n.Mode ^= unix.S_IFCHR ^ unix.S_IFBLK
		}
		n.Rdev = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	case tar.TypeXGlobalHeader:
		return nil, nil
	default:
		return nil, fmt.Errorf("reading the archive: %q is of the unknown type %q", h.Name, h.Typeflag)
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrRecord); ok && kept(name) {
			if n.Xattrs == nil {
				n.Xattrs = map[string]string{}
			}
			n.Xattrs[name] = v
		}
	}
	return n, nil
}

// clean is a member's name without what would lead out of the tree.
func clean(name string) string {
	name = path.Clean("/" + name)[1:]
	if name == "" {
		return "."
	}
	return name
}

func decompress(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 1<<18)
	head, err := in.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch s := string(head); {
	case strings.HasPrefix(s, "\x1f\x8b"):
		return gzip.NewReader(in)
	case strings.HasPrefix(s, "BZh"):
		return bzip2.NewReader(in), nil
	case strings.HasPrefix(s, "\xfd7zXZ\x00"), strings.HasPrefix(s, "\x28\xb5\x2f\xfd"):
		return nil, errors.New("it is compressed with xz or zstd; decompress it first, as with xz -dc or zstd -dc")
	}
	return in, nil
}
