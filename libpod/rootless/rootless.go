// Package rootless owns the user namespace that proa lives in: who the invoking user is, joining the namespace
// before Go's runtime starts (join.c), and the pause process that keeps it. It leaves paths to libpod/config and the
// words of a refusal to libpod/host. It runs as the invoking user until Enter returns, as uid 0 of the namespace after.
package rootless

/*
extern int proa_joined, proa_outer_uid, proa_outer_gid;
*/
import "C"

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// outerUIDEnv tells a program that proa starts inside the namespace who the invoking user is.
const outerUIDEnv = "_PROA_OUTER_UID"

// Joined tells whether this process entered the namespace of the pause process before Go started.
func Joined() bool { return C.proa_joined != 0 }

// Inside tells whether this process is uid 0 of proa's user namespace: joined, or started by a proa that had.
func Inside() bool {
	if Joined() {
		return true
	}
	return os.Geteuid() == 0 && os.Getenv(outerUIDEnv) != ""
}

// OuterUID is the user who called proa, as numbered outside proa's user namespace.
func OuterUID() int {
	if !Joined() && Inside() {
		if uid, err := strconv.Atoi(os.Getenv(outerUIDEnv)); err == nil {
			return uid
		}
	}
	return int(C.proa_outer_uid)
}

// Rootless tells whether the engine works without privilege over the host: always, unless it was started by a uid 0
// that holds CAP_SYS_ADMIN.
func Rootless() bool { return Inside() || !privileged() }

// privileged tells whether this process, outside proa's namespace, is uid 0 with CAP_SYS_ADMIN.
func privileged() bool {
	if os.Geteuid() != 0 {
		return false
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// ChildEnv is env for a program started inside the namespace, with the invoking user in it.
func ChildEnv(env []string) []string {
	if !Inside() {
		return env
	}
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, outerUIDEnv+"=") {
			out = append(out, e)
		}
	}
	return append(out, outerUIDEnv+"="+strconv.Itoa(OuterUID()))
}
