package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// usual are the directories that runtimes are installed to; some are in no user's PATH.
var usual = [...]string{
	"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/sbin", "/bin", "/usr/libexec", "/usr/lib/cri-o-runc/sbin",
}

// NotInstalledError says that there is no such runtime.
type NotInstalledError struct {
	Name   string
	Reason string
}

func (e *NotInstalledError) Error() string {
	remedy := "name an installed one, as crun or runc, or the absolute path of an executable"
	if p, ok := packages(e.Name); ok {
		remedy = fmt.Sprintf("install it (Debian, Ubuntu: apt-get install %s; Fedora: dnf install %s), or leave out --runtime", p, p)
	}
	return fmt.Sprintf("the runtime %q %s: %s", e.Name, e.Reason, remedy)
}

// packages is the package of a well-known runtime, in Debian as in Fedora.
func packages(name string) (string, bool) {
	switch name {
	case "crun", "runc":
		return name, true
	}
	return "", false
}

// Find is the path of the runtime's executable: name itself where it is an absolute path, else the first of that name
// in path, a list as in PATH, and in the usual directories.
func Find(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		if err := executable(name); err != nil {
			return "", &NotInstalledError{name, "can't be executed (" + err.Error() + ")"}
		}
		return name, nil
	}
	if name == "" || strings.Contains(name, "/") {
		return "", &NotInstalledError{name, "is neither a name nor an absolute path"}
	}
	for _, dir := range append(filepath.SplitList(path), usual[:]...) {
		file := filepath.Join(dir, name)
		if filepath.IsAbs(dir) && executable(file) == nil {
			return file, nil
		}
	}
	return "", &NotInstalledError{name, "is not installed"}
}

func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return err.(*os.PathError).Err
	case !st.Mode().IsRegular():
		return errors.New("not a file")
	}
	return unix.Access(path, unix.X_OK)
}
