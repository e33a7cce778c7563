package perform

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the dangling symbolic links followed while a path is created.
const maxLinks = 40

// inRoot opens name inside the root filesystem. Symbolic links resolve inside it and magic links are refused.
func (p *performer) inRoot(name string, flags, resolve uint64) (int, error) {
	how := &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve,
	}
	for range 128 {
		// EAGAIN: a rename or mount elsewhere on the system raced with "..".
		fd, err := unix.Openat2(p.root, name, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// mkdirAll opens a directory inside the root filesystem, and makes what is missing of it, through handles.
func (p *performer) mkdirAll(name string) (int, error) {
	name = path.Clean("/" + name)
	fd, err := p.inRoot(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != unix.ENOENT {
		return fd, err
	}
	todo := strings.Split(name[1:], "/")
	done, links := "/", 0
	for len(todo) > 0 {
		parent, err := p.inRoot(done, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return -1, err
		}
		next := todo[0]
		todo = todo[1:]
		if next == "" || next == "." {
			unix.Close(parent)
			continue
		}
		there, err := p.inRoot(done+"/"+next, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err == unix.ENOENT {
			var target string
			target, err = mkdirOrLink(parent, next)
			if target != "" && err == nil {
				if links++; links > maxLinks {
					err = unix.ELOOP
				}
				todo = append(strings.Split(target, "/"), todo...)
				if target[0] == '/' {
					done = "/"
				}
				next = "."
			}
		} else if err == nil {
			unix.Close(there)
		}
		unix.Close(parent)
		if err != nil {
			return -1, err
		}
		done = strings.TrimSuffix(done, "/") + "/" + next
	}
	return p.inRoot(done, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// mkdirOrLink makes a directory, or returns the target of the dangling symbolic link that is in its place.
func mkdirOrLink(parent int, name string) (string, error) {
	err := unix.Mkdirat(parent, name, 0o755)
	if err == nil {
		return "", nil
	}
	if err != unix.EEXIST {
		return "", err
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(parent, name, b)
	if err == unix.EINVAL {
		return "", nil // made by somebody else meanwhile
	}
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// parentOf opens the directory of name, making it if need be.
func (p *performer) parentOf(name string) (dir int, base string, err error) {
	name = path.Clean("/" + name)
	dir, err = p.mkdirAll(path.Dir(name))
	return dir, path.Base(name), err
}

// target opens the place a mount goes to: a directory or, for what is not one, a file.
func (p *performer) target(name string, isDir bool, resolve uint64) (int, error) {
	fd, err := p.inRoot(name, unix.O_PATH, resolve)
	if err != unix.ENOENT {
		return fd, err
	}
	if isDir {
		if fd, err = p.mkdirAll(name); err != nil {
			return -1, err
		}
		if resolve == 0 {
			return fd, nil
		}
		unix.Close(fd)
		return p.inRoot(name, unix.O_PATH, resolve)
	}
	dir, base, err := p.parentOf(name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	f, err := unix.Openat(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil && err != unix.EEXIST {
		return -1, err
	}
	if err == nil {
		unix.Close(f)
	}
	return p.inRoot(name, unix.O_PATH, resolve)
}

func mode(fd int) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Mode & unix.S_IFMT, err
}
