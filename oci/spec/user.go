package spec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// User is who the process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// ResolveUser looks up NAME|UID[:NAME|GID] and the supplementary groups in the container's own /etc/passwd and
// /etc/group, reached through the handle root, so that no link in the image leads outside.
func ResolveUser(root *os.File, name string, groups []string) (User, error) {
	passwd, group := open(root, "/etc/passwd"), open(root, "/etc/group")
	defer passwd.Close()
	defer group.Close()
	e, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return User{}, fmt.Errorf("finding user %q in the container: %w", name, err)
	}
	u := User{UID: uint32(e.Uid), GID: uint32(e.Gid), Home: e.Home}
	for _, g := range e.Sgids {
		u.Groups = append(u.Groups, uint32(g))
	}
	if slices.Contains(groups, "") {
		return User{}, errors.New("invalid group \"\": want a name of the image or a number")
	}
	if len(groups) > 0 {
		again := open(root, "/etc/group")
		defer again.Close()
		gids, err := user.GetAdditionalGroups(groups, again)
		if err != nil {
			return User{}, fmt.Errorf("finding the groups %q in the container: %w", groups, err)
		}
		for _, g := range gids {
			u.Groups = append(u.Groups, uint32(g))
		}
	}
	return u, nil
}

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }

// open is a regular file inside root, or an empty one. It is looked at through a handle first, since opening a device
// can have effects; /proc is that of proa's own mount namespace, no container's.
func open(root *os.File, path string) io.ReadCloser {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), path, &how)
	if err != nil {
		return empty{}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return empty{}
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return empty{}
	}
	return f
}

// maxFile is the most that is read of a file in a container, in bytes.
const maxFile = 1 << 20

// ReadFile reads a regular file inside root. One that is not there, or can't be opened, is empty.
func ReadFile(root *os.File, path string) ([]byte, error) {
	f := open(root, path)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// EnsureDir makes the directory path inside root, with its parents, mode 0755, as Docker does a working directory.
func EnsureDir(root *os.File, path string) error {
	h, err := pathrs.MkdirAllHandle(root, path, 0o755)
	if err != nil {
		return fmt.Errorf("making the working directory %q: %w", path, err)
	}
	return h.Close()
}
