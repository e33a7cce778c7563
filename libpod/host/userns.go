package host

import (
	"context"
	"errors"
	"fmt"
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
	status := Missing
	if !h.Rootless { // root mounts overlay without a user namespace
		status = Warning
	}
	return c.fail(status, h.Release, h.install(newKernel)+" && "+h.sudo("reboot"))
}

func (h Host) userNS(ctx context.Context) Check {
	c := Check{Name: "user namespaces", Needed: "being root over containers and nothing else"}
	err := h.UserNS(ctx)
	var forbidding []string
	for _, s := range userNSSwitches() {
		if h.read(s.file) == s.bad {
			forbidding = append(forbidding, s.key+" = "+s.bad)
		}
	}
	status := Missing
	if !h.Rootless { // root's containers need none
		status = Warning
	}
	found := strings.Join(forbidding, ", ")
	switch {
	case err != nil && found != "":
		return c.fail(status, found+": "+err.Error(), h.allowUserNS(err))
	case err != nil:
		return c.fail(status, err.Error(), h.allowUserNS(err))
	case found != "":
		// A profile of AppArmor may allow this very program.
		return c.pass("allowed to this program, although " + found)
	}
	return c.pass("allowed")
}

// userNSSwitch is a kernel setting that forbids user namespaces.
type userNSSwitch struct {
	file, bad, key, good string
}

func userNSSwitches() []userNSSwitch {
	return []userNSSwitch{
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces", "28633"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone", "1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns", "0"},
	}
}

// allowUserNS allows user namespaces: it names the settings that forbid them.
func (h Host) allowUserNS(err error) string {
	var settings []string
	for _, s := range userNSSwitches() {
		if h.read(s.file) == s.bad {
			settings = append(settings, s.key+"="+s.good)
		}
	}
	switch {
	case len(settings) > 0:
		return h.sysctl(settings...)
	case errors.Is(err, unix.ENOSPC): // the user has as many as it may, or they are nested too deep (clone(2))
		return h.sysctl("user.max_user_namespaces=28633")
	case errors.Is(err, unix.EACCES) && h.profile() != "":
		return h.sudo(fmt.Sprintf("${EDITOR:-vi} \"$(grep -rlw %[1]s /etc/apparmor.d | head -1)\" # give AppArmor's profile %[1]s the rule \"userns,\" and load it with apparmor_parser -r", h.profile()))
	case h.exists("/proc/self/ns") && !h.exists("/proc/self/ns/user"): // CONFIG_USER_NS
		return h.install(newKernel) + " && " + h.sudo("reboot")
	}
	return "no sysctl forbids them: allow unshare and clone with CLONE_NEWUSER in the seccomp profile or security module that this shell runs under; in Docker with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
}

// profile is the AppArmor profile that confines this process, "" when none does (aa_getcon(2)).
func (h Host) profile() string {
	name, _, confined := strings.Cut(h.read("/proc/self/attr/apparmor/current"), " (")
	if !confined {
		return ""
	}
	return name
}
