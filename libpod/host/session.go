package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod/config"
)

func (h Host) runDir() Check {
	c := Check{Name: "XDG_RUNTIME_DIR", Needed: "locks, pid files and sockets, until the next boot"}
	dir, err := h.Dirs()
	switch {
	case errors.Is(err, config.ErrNoDataDir):
		return c.fail(Missing, "not looked for: "+err.Error(), h.dataDirRemedy())
	case err != nil:
		return c.fail(Missing, err.Error(), h.runDirRemedy())
	case h.Getenv("XDG_RUNTIME_DIR") == "":
		if !strings.HasPrefix(dir, "/run/user/") {
			return c.fail(Warning, dir+", since XDG_RUNTIME_DIR is not set: what cleans /tmp may end it", h.runDirRemedy())
		}
		return c.pass(dir + " (XDG_RUNTIME_DIR is not set)")
	}
	return c.pass(dir)
}

// runDirRemedy makes a runtime directory, as systemd does at a login and root can without systemd, or names it.
func (h Host) runDirRemedy() string {
	dir := fmt.Sprintf("/run/user/%d", h.UID)
	export := "export XDG_RUNTIME_DIR=" + dir
	uid, err := h.Owner(h.path(dir))
	switch {
	case err == nil && uid == h.UID && h.Getenv("XDG_RUNTIME_DIR") != dir:
		return export
	case err == nil:
		return h.sudo(fmt.Sprintf("chown %d %s", h.UID, dir)) + " && " + h.sudo("chmod 0700 "+dir) + " && " + export
	case h.booted():
		return h.lingerCommand() + " && " + export
	}
	return h.sudo(fmt.Sprintf("install -d -m 0700 -o %d %s", h.UID, dir)) + " && " + export
}

func (h Host) session() Check {
	c := Check{Name: "systemd user session", Needed: "a cgroup of its own for each container"}
	if socket := h.userManager(); socket != "" {
		return c.pass(socket)
	}
	if !h.booted() {
		return c.pass("none: systemd did not boot this host, and proa does without")
	}
	return c.fail(Warning, "none", h.install(userSession)+" && "+h.lingerCommand()+" # then log in anew; su and sudo may start no session, machinectl shell "+h.User+"@ does")
}

func (h Host) linger() Check {
	c := Check{Name: "linger", Needed: "containers that live on after you log out"}
	switch {
	case h.exists("/var/lib/systemd/linger/" + h.User):
		return c.pass("on")
	case !h.booted():
		return c.pass("not needed: systemd did not boot this host")
	}
	return c.fail(Warning, "off", h.lingerCommand())
}

func (h Host) tun() Check {
	c := Check{Name: "/dev/net/tun", Needed: "a container's network to the outside"}
	f, err := os.OpenFile(h.path("/dev/net/tun"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return c.fail(Warning, "you may not open it", h.sudo("chmod 0666 /dev/net/tun"))
	}
	if err != nil {
		remedy := h.sudo("modprobe tun") + " && echo tun | " + h.sudo("tee /etc/modules-load.d/tun.conf")
		if !h.exists("/lib/modules/" + h.Release) { // in a container, say
			remedy = h.sudo("mkdir -p /dev/net") + " && " + h.sudo("mknod -m 0666 /dev/net/tun c 10 200")
		}
		return c.fail(Warning, strings.ReplaceAll(err.Error(), h.path("/dev"), "/dev"), remedy)
	}
	f.Close()
	return c.pass("can be opened")
}

// ping: a socket of ICMP echo without privilege is for the groups of a range (icmp(7)), which the kernel's default is
// to leave empty.
func (h Host) ping() Check {
	c := Check{Name: "ping", Needed: "ping in containers that do not have CAP_NET_RAW"}
	f := strings.Fields(h.read("/proc/sys/net/ipv4/ping_group_range"))
	if len(f) == 2 {
		low, err1 := strconv.ParseUint(f[0], 10, 64)
		high, err2 := strconv.ParseUint(f[1], 10, 64)
		if err1 == nil && err2 == nil && low <= high {
			return c.pass("allowed to the groups " + f[0] + "-" + f[1])
		}
	}
	return c.fail(Warning, "net.ipv4.ping_group_range allows it to no group", h.sysctl("net.ipv4.ping_group_range=0 2147483647"))
}
