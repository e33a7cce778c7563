package storage

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/storage/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage/overlay"
)

// Kind of a change: as a letter it is Docker's.
type Kind byte

// The kinds.
const (
	Added    Kind = 'A'
	Modified Kind = 'C'
	Deleted  Kind = 'D'
)

// Change is one path that a container's layer has and what is beneath it has otherwise.
type Change struct {
	Kind Kind
	Path string // absolute
}

// Changes compares the upper directory of what an overlay mounts with the lower ones, by path. It mounts nothing, and a
// running container may change files meanwhile.
func Changes(o overlay.Options) ([]Change, error) {
	list, err := archive.OverlayChanges(o.Lower, o.Upper)
	if err != nil {
		return nil, fmt.Errorf("compare the container's layer with its image: %w", err)
	}
	var out []Change
	for _, c := range list {
		switch c.Kind {
		case archive.ChangeAdd:
			out = append(out, Change{Added, c.Path})
		case archive.ChangeModify:
			out = append(out, Change{Modified, c.Path})
		case archive.ChangeDelete:
			out = append(out, deleted(o, c.Path)...)
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(out, func(a, b Change) bool { return a.Path == b.Path }), nil
}

// deleted is a path that the library calls deleted. It does so too of a directory that was removed and made again
// ("opaque"): that one is modified, and what it had and has no more is deleted.
func deleted(o overlay.Options, name string) []Change {
	st, err := os.Lstat(filepath.Join(o.Upper, name))
	if err != nil || !st.IsDir() {
		return []Change{{Deleted, name}}
	}
	out := []Change{{Modified, name}}
	for _, base := range lowerNames(o.Lower, name) {
		if _, err := os.Lstat(filepath.Join(o.Upper, name, base)); err != nil {
			out = append(out, Change{Deleted, path.Join(name, base)})
		}
	}
	return out
}

// lowerNames are the names in a directory of the lower layers together.
func lowerNames(lower []string, name string) []string {
	var names []string
	hidden := map[string]bool{}
	for _, layer := range lower {
		dir, err := openIn(layer, name)
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			break // something else is in its place, which hides it in the layers below
		}
		entries, _ := dir.ReadDir(-1)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || hidden[e.Name()] {
				continue
			}
			hidden[e.Name()] = true
			if info.Mode()&os.ModeCharDevice == 0 { // a whiteout, since images have no devices without root
				names = append(names, e.Name())
			}
		}
		var mark [1]byte
		n, _ := unix.Fgetxattr(int(dir.Fd()), archive.GetOverlayXattrName("opaque"), mark[:])
		dir.Close()
		if n == 1 && mark[0] == 'y' {
			break
		}
	}
	slices.Sort(names)
	return names
}

// openIn opens a directory of a layer; no symbolic link in the layer is followed.
func openIn(layer, name string) (*os.File, error) {
	root, err := os.OpenFile(layer, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(root.Fd()), "."+path.Clean("/"+name), &how)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// LayerArchive is the upper directory as an image's layer: an uncompressed tar, in which what is deleted is marked in
// the way of the image specification. The caller closes it.
func LayerArchive(o overlay.Options) (io.ReadCloser, error) {
	r, err := archive.TarWithOptions(o.Upper, &archive.TarOptions{
		Compression: archive.Uncompressed, WhiteoutFormat: archive.OverlayWhiteoutFormat, WhiteoutData: o.Lower,
	})
	if err != nil {
		return nil, fmt.Errorf("archive the container's layer: %w", err)
	}
	return r, nil
}
