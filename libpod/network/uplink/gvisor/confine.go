package gvisor

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// confine takes from this process every right over the user's namespaces, as it reads what containers send. Capabilities
// belong to threads, of which Go has many from the start: one gives them up and executes the program again, which keeps
// them away from uid 0 of the namespace by SECBIT_NOROOT (capabilities(7)).
func confine() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has, none [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	if has[0].Permitted == 0 && has[1].Permitted == 0 {
		return nil
	}
	runtime.LockOSThread()
	const bits = 1<<0 | 1<<1 // SECBIT_NOROOT, and its lock
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, bits, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities away: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep privileges away: %w", err)
	}
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("give up the capabilities: %w", err)
	}
	return fmt.Errorf("execute this program again: %w", unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}
