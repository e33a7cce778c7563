package volume

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Chown gives the tree at path to uid and gid, links themselves and not what they lead to. A container may work in the
// tree meanwhile, so all goes through handles.
func Chown(path string, uid, gid int) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("giving %s to %d:%d: %w", path, uid, gid, err)
	}
	defer unix.Close(fd)
	if err := chownTree(fd, uid, gid); err != nil {
		return fmt.Errorf("giving %s to %d:%d: %w", path, uid, gid, err)
	}
	return nil
}

func chownTree(fd, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != uid || int(st.Gid) != gid {
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	d, err := openDir(fd, ".")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := chownEntry(d, n, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

func chownEntry(d *os.File, name string, uid, gid int) error {
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil // gone meanwhile
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	return chownTree(fd, uid, gid)
}
