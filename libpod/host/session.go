package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (h Host) runDir() Check {
	c := Check{Name: "XDG_RUNTIME_DIR", Needed: "locks, pid files and sockets, until the next boot"}
	remedy := "sudo loginctl enable-linger " + h.User + ", then log in anew"
	dir, err := h.RunDir()
	switch {
	case err != nil && h.Getenv("XDG_RUNTIME_DIR") != "":
		return c.fail(Missing, err.Error(), fmt.Sprintf("export XDG_RUNTIME_DIR=/run/user/%d; where that is missing: %s", h.UID, remedy))
	case err != nil:
		return c.fail(Missing, err.Error(), remedy)
	case h.Getenv("XDG_RUNTIME_DIR") == "":
		if !strings.HasPrefix(dir, "/run/user/") && h.UID != 0 {
			return c.fail(Warning, dir+", since XDG_RUNTIME_DIR is not set", remedy)
		}
		return c.pass(dir + " (XDG_RUNTIME_DIR is not set)")
	}
	return c.pass(dir)
}

// cgroups is one check for the hierarchy, and one for every controller.
func (h Host) cgroups() []Check {
	c := Check{Name: "cgroup v2", Needed: "limits and statistics"}
	if !h.exists("/sys/fs/cgroup/cgroup.controllers") {
		return []Check{c.fail(Warning, "/sys/fs/cgroup is not a cgroup v2 file system",
			`sudo grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1, or add that to GRUB_CMDLINE_LINUX and run sudo update-grub; then sudo reboot`)}
	}
	own := ""
	for _, line := range strings.Split(h.read("/proc/self/cgroup"), "\n") {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			own = p
		}
	}
	out := []Check{c.pass("/sys/fs/cgroup, this shell in " + own)}
	controllers := strings.Fields(h.read(filepath.Join("/sys/fs/cgroup", h.delegated(own), "cgroup.controllers")))
	for _, d := range []struct{ name, needed string }{
		{"memory", "--memory"}, {"pids", "--pids-limit"}, {"cpu", "--cpus, --cpu-shares"}, {"cpuset", "--cpuset-cpus"}, {"io", "--blkio-weight"},
	} {
		c := Check{Name: "cgroup " + d.name, Needed: d.needed}
		if slices.Contains(controllers, d.name) {
			out = append(out, c.pass("delegated"))
			continue
		}
		out = append(out, c.fail(Warning, "not delegated to you", DelegateRemedy()))
	}
	return out
}

// delegated is the cgroup that systemd delegates to the user, user@UID.service, where own is below it or beside it; a
// login's own session scope stays with root.
func (h Host) delegated(own string) string {
	name := fmt.Sprintf("user@%d.service", h.UID)
	if i := strings.Index(own, "/"+name); i >= 0 {
		return own[:i] + "/" + name
	}
	user := fmt.Sprintf("/user.slice/user-%d.slice/%s", h.UID, name)
	if h.exists("/sys/fs/cgroup" + user) {
		return user
	}
	return own
}

// DelegateRemedy has systemd delegate every controller that proa uses.
func DelegateRemedy() string {
	return `sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload, then log in anew`
}

func (h Host) session() Check {
	c := Check{Name: "systemd user session", Needed: "a cgroup of its own for each container"}
	dir := h.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = fmt.Sprintf("/run/user/%d", h.UID)
	}
	if h.exists(dir + "/systemd/private") {
		return c.pass(dir + "/systemd/private")
	}
	return c.fail(Warning, "none", Install(h.Root, "dbus-user-session", "systemd")+", then log in anew (su and sudo start no session: use machinectl shell "+h.User+"@)")
}

func (h Host) linger() Check {
	c := Check{Name: "linger", Needed: "containers that live on after you log out"}
	if h.exists("/var/lib/systemd/linger/" + h.User) {
		return c.pass("on")
	}
	return c.fail(Warning, "off", "sudo loginctl enable-linger "+h.User)
}

func (h Host) tun() Check {
	c := Check{Name: "/dev/net/tun", Needed: "a container's network to the outside"}
	f, err := os.OpenFile(h.path("/dev/net/tun"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return c.fail(Warning, "you may not open it", "sudo chmod 0666 /dev/net/tun")
	}
	if err != nil {
		return c.fail(Warning, err.Error(), "sudo modprobe tun && echo tun | sudo tee /etc/modules-load.d/tun.conf")
	}
	f.Close()
	return c.pass("can be opened")
}
