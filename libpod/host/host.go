// Package host owns what proa needs of the machine under it: the checks, what each is needed for, and the commands that
// mend what is missing. It leaves using the host to libpod and its packages. It runs in proa as the invoking user,
// outside of proa's user namespace, and changes nothing but that proa's own directories are made.
package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-containers/proa/libpod/rootless"
)

// Status of a check.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning" // proa runs, and something is slower or refused
	Missing Status = "missing" // proa can't run containers, or not those of most images
)

// Check is one question to the host and its answer.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Needed string `json:"needed"` // what it is needed for
	Remedy string `json:"remedy,omitempty"`
}

// Host is the machine to look at, and the user for whom.
type Host struct {
	Root     string // prefix of every file that is read; "" is the running machine
	UID      int
	Rootless bool // containers are made in a user namespace of proa's
	User     string
	Home     string
	Release  string              // of the kernel, as uname(2) says
	Getenv   func(string) string // the user's environment

	SubIDs     func(uid int) (uids, gids int, err error)   // how many subordinate ids the user has
	Privileged func(m rootless.Mapper, path string) error  // whether the program at path has m's privilege
	Dirs       func() (runDir string, err error)           // makes proa's directories
	UserNS     func(context.Context) error                 // makes a user namespace
	Overlay    func(ctx context.Context, dir string) error // mounts an overlay in a user namespace, in dir
	Space      func(path string) (Space, error)            // of the file system of path
	Owner      func(path string) (uid int, err error)
}

// Checks asks everything, in the order in which one missing thing explains the next.
func (h Host) Checks(ctx context.Context) []Check {
	ns := h.userNS(ctx)
	out := []Check{h.kernel(), ns}
	if h.Rootless {
		out = append(out, h.subIDs(), h.mappers(), h.runDir())
	}
	out = append(out, h.storage(), h.overlay(ctx, ns))
	out = append(out, h.cgroups()...)
	if h.Rootless {
		out = append(out, h.session(), h.linger())
	}
	out = append(out, h.tun(), h.ping())
	return append(out, h.configs()...)
}

// Lacking tells whether something that is needed is missing.
func Lacking(checks []Check) bool {
	for _, c := range checks {
		if c.Status == Missing {
			return true
		}
	}
	return false
}

func (h Host) path(name string) string { return filepath.Join(h.Root, name) }

// read is the trimmed content of a file, "" when there is none.
func (h Host) read(name string) string {
	b, err := os.ReadFile(h.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (h Host) exists(name string) bool {
	_, err := os.Stat(h.path(name))
	return err == nil
}

// look finds a program in PATH.
func (h Host) look(name string) string { return h.lookIn(h.Getenv("PATH"), name) }

// find finds a program of the administrator's, whose directories need not be in a user's PATH.
func (h Host) find(name string) string {
	return h.lookIn("/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin", name)
}

func (h Host) lookIn(path, name string) string {
	for _, dir := range strings.Split(path, ":") {
		if strings.HasPrefix(dir, "/") {
			if st, err := os.Stat(h.path(dir + "/" + name)); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return dir + "/" + name
			}
		}
	}
	return ""
}

// booted tells whether systemd is process 1 (sd_booted(3)).
func (h Host) booted() bool { return h.exists("/run/systemd/system") }

// existing is p or the nearest directory above it that exists.
func (h Host) existing(p string) string {
	for p != "/" && p != "." && !h.exists(p) {
		p = filepath.Dir(p)
	}
	return p
}

// fail gives a check that did not pass its status, what was found and the remedy.
func (c Check) fail(s Status, found, remedy string) Check {
	c.Status, c.Found, c.Remedy = s, found, remedy
	return c
}

func (c Check) pass(found string) Check {
	c.Status, c.Found = OK, found
	return c
}
