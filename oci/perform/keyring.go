package perform

import "golang.org/x/sys/unix"

// leaveKeyring replaces the session keyring, which fork and execve hand down from whoever called proa: with it the
// container would possess the caller's keys, and keyctl(2) is allowed by the common seccomp profile. It is per thread,
// and the thread that calls this is the one that executes the command.
func leaveKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	switch err {
	case nil, unix.ENOSYS: // a kernel without keys
		return nil
	case unix.EPERM, unix.EACCES: // a filter around proa, as of another container, denies keyctl: to the command too
		return nil
	case unix.EDQUOT:
		// The user's quota, 200 keys by default, must not limit the number of containers: share one keyring.
		_, err = unix.KeyctlJoinSessionKeyring("proa")
	}
	if err != nil {
		return fail("leave the caller's session keyring", err)
	}
	return nil
}
