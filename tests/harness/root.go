package harness

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// CommandIn prepares a program that is run as the user after root has changed, in a mount namespace of its own, what
// the host looks like: script is a shell script. Only for tests that require root.
func (e *Env) CommandIn(script string, args ...string) *Cmd {
	c := e.Command(args...)
	inner := fmt.Sprintf(`%s && exec setpriv --reuid=%d --regid=%d --clear-groups --inh-caps=-all "$@"`, script, e.UID, e.GID)
	c.Args = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", inner, strconv.Itoa(e.UID)}, c.Args...)
	asRoot := *e
	asRoot.asRoot = false // start as whoever runs the tests
	c.env = &asRoot
	return c
}

// CommandInUserNS is CommandIn in a user namespace as well, in which every id is the one it is outside: sysctls that
// each user namespace has of its own can be set there.
func (e *Env) CommandInUserNS(script string, args ...string) *Cmd {
	c := e.CommandIn(script, args...)
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1<<32 - 1}}
	c.attr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
	return c
}

// RootCommand prepares a program that root runs. Only for tests that require root.
func (e *Env) RootCommand(args ...string) *Cmd {
	c := e.Command(args...)
	asRoot := *e
	asRoot.asRoot = false
	c.env = &asRoot
	return c
}

// Booted tells whether systemd is process 1 (sd_booted(3)).
func Booted() bool { return exists("/run/systemd/system") }

// InVM tells whether this machine is one of hack/vm.sh, made for the tests and gone after them.
func InVM() bool { return os.Getenv("PROA_VM") != "" }

// BridgesHaveVLANs tells whether the kernel was built with CONFIG_BRIDGE_VLAN_FILTERING.
func BridgesHaveVLANs() bool {
	return exec.Command("unshare", "-n", "ip", "link", "add", "type", "bridge", "vlan_filtering", "1").Run() == nil
}
