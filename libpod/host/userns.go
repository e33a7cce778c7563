package host

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// kernel 5.11 is the first that mounts overlay in a user namespace.
func (h Host) kernel() Check {
	c := Check{Name: "kernel", Needed: "Linux 5.11 or newer: overlay mounts without root"}
	var major, minor int
	if n, _ := fmt.Sscanf(h.Release, "%d.%d", &major, &minor); n == 2 && (major > 5 || major == 5 && minor >= 11) {
		return c.pass(h.Release)
	}
	return c.fail(Missing, h.Release, Install(h.Root, "linux-image-amd64 && sudo reboot", "kernel && sudo reboot"))
}

func (h Host) userNS(ctx context.Context) Check {
	c := Check{Name: "user namespaces", Needed: "being root over containers and nothing else"}
	err := h.UserNS(ctx)
	var forbidding []string
	for _, s := range userNSSwitches {
		if h.read(s.file) == s.bad {
			forbidding = append(forbidding, s.key+" = "+s.bad)
		}
	}
	found := strings.Join(forbidding, ", ")
	switch {
	case err != nil && found != "":
		return c.fail(Missing, found+": "+err.Error(), UserNSRemedy(h.Root))
	case err != nil:
		return c.fail(Missing, err.Error(), UserNSRemedy(h.Root))
	case found != "":
		// A profile of AppArmor may allow this very program.
		return c.pass("allowed to this program, although " + found)
	}
	return c.pass("allowed")
}

func (h Host) subIDs() Check {
	c := Check{Name: "subuid, subgid", Needed: "more than one uid and gid in a container; 65536 of each for most images"}
	uids, gids, err := h.SubIDs(h.UID)
	remedy := SubIDsRemedy(h.Root, h.User)
	switch found := fmt.Sprintf("%d uids, %d gids", uids, gids); {
	case err != nil:
		return c.fail(Missing, err.Error(), remedy)
	case uids == 0 || gids == 0:
		return c.fail(Missing, found, remedy)
	case uids < 65535 || gids < 65535:
		return c.fail(Warning, found, remedy)
	default:
		return c.pass(found)
	}
}

// mappers: newuidmap writes a map that its caller may not, by a setuid bit or file capabilities; copying them in an
// archive loses both.
func (h Host) mappers() Check {
	c := Check{Name: "newuidmap, newgidmap", Needed: "mapping the subordinate ids"}
	var found []string
	for _, m := range []struct{ name, capability string }{{"newuidmap", "cap_setuid"}, {"newgidmap", "cap_setgid"}} {
		path := h.look(m.name)
		if path == "" {
			return c.fail(Missing, m.name+" is not installed", MapperRemedy(h.Root))
		}
		st, err := os.Stat(h.path(path))
		if err != nil {
			return c.fail(Missing, err.Error(), MapperRemedy(h.Root))
		}
		var mount unix.Statfs_t
		if err := unix.Statfs(h.path(path), &mount); err == nil && mount.Flags&unix.ST_NOSUID != 0 && h.Root == "" {
			return c.fail(Missing, path+" is on a file system mounted nosuid", "sudo mount -o remount,suid \"$(findmnt -no TARGET -T "+path+")\"")
		}
		switch n, err := unix.Getxattr(h.path(path), "security.capability", nil); {
		case st.Mode()&fs.ModeSetuid != 0:
			found = append(found, path+" (setuid)")
		case err == nil && n > 0:
			found = append(found, path+" (capability)")
		default:
			return c.fail(Missing, path+" has neither a setuid bit nor a capability", "sudo setcap "+m.capability+"=ep "+path)
		}
	}
	return c.pass(strings.Join(found, ", "))
}

// look finds a program in PATH.
func (h Host) look(name string) string {
	for _, dir := range strings.Split(h.Getenv("PATH"), ":") {
		if strings.HasPrefix(dir, "/") {
			if st, err := os.Stat(h.path(dir + "/" + name)); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return dir + "/" + name
			}
		}
	}
	return ""
}

// overlay tries one in a user namespace, of which the answer is ns.
func (h Host) overlay(ctx context.Context, ns Check) Check {
	c := Check{Name: "overlay", Needed: "sharing image layers between containers"}
	if ns.Status != OK {
		return c.fail(Missing, "not tried without a user namespace", ns.Remedy)
	}
	dir, err := os.MkdirTemp(h.TempDir, ".proa-doctor-")
	if err != nil {
		return c.fail(Missing, err.Error(), "export HOME to a directory that you can write to")
	}
	defer os.RemoveAll(dir)
	if err := h.Overlay(ctx, dir); err != nil {
		if h.Root == "" && !strings.Contains(h.read("/proc/filesystems"), "\toverlay") {
			return c.fail(Missing, err.Error(), "sudo modprobe overlay && echo overlay | sudo tee /etc/modules-load.d/overlay.conf")
		}
		return c.fail(Missing, err.Error(), "export XDG_DATA_HOME to a directory on ext4, xfs, btrfs or tmpfs")
	}
	return c.pass("mounted in a user namespace, on the file system of " + h.TempDir)
}
