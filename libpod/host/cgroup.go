package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod/cgroup"
)

const cgroupRoot = "/sys/fs/cgroup"

// delegated is the directory of the cgroup beneath which libpod/cgroup makes those of containers, "" where there is none:
// with a systemd of the user's it is what that has to give, user@UID.service; without, the highest cgroup above own, the
// caller's, that the user owns with all between.
func (h Host) delegated() (dir, own string, systemd bool) {
	if p := cgroup.Path(h.read("/proc/self/cgroup")); p != "" {
		own = filepath.Join("/", p)
	}
	if h.Rootless && h.userManager() != "" {
		name := fmt.Sprintf("user@%d.service", h.UID)
		service := fmt.Sprintf("/user.slice/user-%d.slice/%s", h.UID, name)
		if i := strings.Index(own+"/", "/"+name+"/"); i >= 0 {
			service = own[:i] + "/" + name
		}
		if h.exists(cgroupRoot + service) {
			return cgroupRoot + service, own, true
		}
	}
	for p := own; p != "" && p != "."; p = filepath.Dir(p) {
		if uid, err := h.Owner(h.path(cgroupRoot + p + "/cgroup.procs")); err != nil || uid != h.UID {
			break
		}
		dir = filepath.Join(cgroupRoot, p)
		if p == "/" {
			break
		}
	}
	return dir, own, false
}

// scope is the cgroup that libpod/cgroup got from systemd and recorded, "" when there is none.
func (h Host) scope(systemd bool) string {
	dir, err := h.Dirs()
	if !systemd || err != nil {
		return ""
	}
	if scope := h.read(dir + "/cgroup"); scope != "" && h.exists(scope+"/proa") {
		return scope
	}
	return ""
}

// userManager is the socket of the user's systemd, "" where there is none.
func (h Host) userManager() string {
	dir := h.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = fmt.Sprintf("/run/user/%d", h.UID)
	}
	if socket := dir + "/systemd/private"; h.exists(socket) {
		return socket
	}
	return ""
}

// cgroups is one check for the hierarchy, and one for every controller.
func (h Host) cgroups() []Check {
	c := Check{Name: "cgroup v2", Needed: "limits and statistics"}
	if !h.exists(cgroupRoot + "/cgroup.controllers") {
		remedy := h.sudo("grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1") + " && " + h.sudo("reboot")
		if h.find("grubby") == "" {
			remedy = h.sudo(`sed -i 's/^GRUB_CMDLINE_LINUX="/&systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub`) + " && " + h.sudo("update-grub") + " && " + h.sudo("reboot")
		}
		if !h.booted() {
			remedy = h.sudo("mount -t cgroup2 cgroup2 "+cgroupRoot) + " # when the host starts, in place of cgroup v1"
		}
		return []Check{c.fail(Warning, cgroupRoot+" is not a cgroup v2 file system", remedy)}
	}
	dir, own, systemd := h.delegated()
	if dir == "" {
		return []Check{c.fail(Warning, "no cgroup is delegated to "+h.User, h.delegateCgroup())}
	}
	out := []Check{c.pass(dir)}
	controllers := strings.Fields(h.read(dir + "/cgroup.controllers"))
	// A cgroup with processes has no controllers for its children ("No Internal Process Constraint" in the kernel's
	// cgroup-v2.rst); the root of the hierarchy, which alone has no cgroup.type, may have both.
	occupied := !systemd && dir == filepath.Join(cgroupRoot, own) && h.exists(dir+"/cgroup.type")
	given := strings.Fields(h.read(dir + "/cgroup.subtree_control"))
	scope := h.scope(systemd)
	inScope := strings.Fields(h.read(scope + "/cgroup.controllers"))
	for _, d := range []struct{ name, needed string }{
		{"memory", "--memory, --memory-swap"}, {"pids", "--pids-limit"}, {"cpu", "--cpus, --cpu-shares"}, {"cpuset", "--cpuset-cpus"}, {"io", "--blkio-weight"},
	} {
		c := Check{Name: "cgroup " + d.name, Needed: d.needed}
		switch {
		case !slices.Contains(controllers, d.name):
			out = append(out, c.fail(Warning, "not delegated to "+h.User, h.delegateController(d.name, dir, systemd)))
		case scope != "" && !slices.Contains(inScope, d.name):
			out = append(out, c.fail(Warning, "delegated after "+scope+" was made", renewManager+" && pkill -u "+h.User+" -f '^proa-pause ' # when no container runs"))
		case occupied && !slices.Contains(given, d.name):
			out = append(out, c.fail(Warning, "not for "+dir+"'s children, since this shell is in it",
				fmt.Sprintf("mkdir -p %[1]s/shell && for p in $(cat %[1]s/cgroup.procs); do echo $p > %[1]s/shell/cgroup.procs; done", dir)))
		default:
			out = append(out, c.pass("delegated"))
		}
	}
	return out
}

// renewManager has the user's systemd see what it was given since it started.
const renewManager = "systemctl --user daemon-reexec"

// delegateCgroup gives the user a cgroup: systemd does at a login, and without systemd root can.
func (h Host) delegateCgroup() string {
	if h.booted() {
		return h.lingerCommand() + " # then log in anew"
	}
	dir := fmt.Sprintf("%s/user-%d", cgroupRoot, h.UID)
	return h.sudo(fmt.Sprintf("sh -c 'mkdir -p %[1]s && chown %[2]d %[1]s %[1]s/cgroup.procs %[1]s/cgroup.subtree_control && echo %[3]d > %[1]s/cgroup.procs'", dir, h.UID, os.Getppid()))
}

func (h Host) delegateController(name, dir string, systemd bool) string {
	if systemd || h.booted() {
		return fmt.Sprintf(`%s && printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | %s && %s && %s`,
			h.sudo("mkdir -p /etc/systemd/system/user@.service.d"), h.sudo("tee /etc/systemd/system/user@.service.d/delegate.conf"), h.sudo("systemctl daemon-reload"), renewManager)
	}
	if dir == cgroupRoot {
		return h.sudo("umount /sys/fs/cgroup/"+name) + " # a hierarchy of cgroup v1 may hold it: mount none when the host starts"
	}
	return fmt.Sprintf("echo +%s | %s", name, h.sudo("tee "+filepath.Dir(dir)+"/cgroup.subtree_control"))
}
