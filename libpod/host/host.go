// Package host owns what proa needs of the machine under it: the checks, what each is needed for, and the commands that
// mend what is missing. It leaves using the host to libpod and its packages. It runs in proa as the invoking user,
// outside of proa's user namespace, and changes nothing but that proa's own directories are made.
package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
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
	Root    string // prefix of every file that is read; "" is the running machine
	UID     int
	User    string
	Home    string
	TempDir string                                      // on the file system of the images, for trying an overlay
	Release string                                      // of the kernel, as uname(2) says
	Getenv  func(string) string                         // the user's environment
	SubIDs  func(uid int) (uids, gids int, err error)   // how many subordinate ids the user has
	RunDir  func() (string, error)                      // proa's directory for what a reboot discards
	UserNS  func(context.Context) error                 // makes a user namespace
	Overlay func(ctx context.Context, dir string) error // mounts an overlay in a user namespace, in dir
}

// Checks asks everything, in the order in which one missing thing explains the next.
func (h Host) Checks(ctx context.Context) []Check {
	ns := h.userNS(ctx)
	out := []Check{h.kernel(), ns, h.subIDs(), h.mappers(), h.runDir(), h.overlay(ctx, ns)}
	out = append(out, h.cgroups()...)
	out = append(out, h.session(), h.linger(), h.tun())
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

// fail gives a check that did not pass its status, what was found and the remedy.
func (c Check) fail(s Status, found, remedy string) Check {
	c.Status, c.Found, c.Remedy = s, found, remedy
	return c
}

func (c Check) pass(found string) Check {
	c.Status, c.Found = OK, found
	return c
}
