package launch

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// joined are the namespaces the launcher's thread enters before it forks; the mount namespace is the init's.
var joined = []struct {
	name string
	flag int
}{
	{"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET}, {"ipc", unix.CLONE_NEWIPC},
	{"uts", unix.CLONE_NEWUTS}, {"cgroup", unix.CLONE_NEWCGROUP},
}

// Exec starts a further process in the container whose process has the given pid and pidfd. Only c.Plan.Process,
// Init and CgroupDirs of the plan are performed. Namespaces the container shares with the launcher are left alone.
func Exec(c *Config, pid int, pidfd *os.File) (*Process, error) {
	flags := 0
	for _, n := range joined {
		same, err := sameNamespace(pid, n.name)
		if err != nil {
			return nil, fmt.Errorf("look at the container's namespaces: %w", err)
		}
		if !same {
			flags |= n.flag
		}
	}
	sameUser, err := sameNamespace(pid, "user")
	if err != nil {
		return nil, fmt.Errorf("look at the container's namespaces: %w", err)
	}
	sameMnt, err := sameNamespace(pid, "mnt")
	if err != nil {
		return nil, fmt.Errorf("look at the container's namespaces: %w", err)
	}
	// The pid may have been given to another process since; the pidfd tells.
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0); err != nil {
		return nil, fmt.Errorf("execute in the container: its process %d has ended", pid)
	}
	p := *c.Plan
	p.FDs.Target = 0
	if !sameMnt {
		p.FDs.Target = 1 // the number follows in fork
	}
	if flags&unix.CLONE_NEWCGROUP != 0 && c.CgroupFD != nil {
		// From within a cgroup namespace no process is born but of a parent in it (cgroups(7), "nsdelegate").
		flags &^= unix.CLONE_NEWCGROUP
		p.JoinCgroup, p.SameMounts, p.FDs.Target = true, sameMnt, 1
	}
	cfg := *c
	cfg.Plan = &p
	joins := []join{{pidfd, flags}}
	if !sameUser {
		// From inside the container's user namespace the init may join the others, whoever the launcher is.
		p.JoinFlags, joins[0].flags = flags, 0
		p.FDs.Target = 1
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
		if err != nil {
			return nil, fmt.Errorf("open the container's user namespace: %w", err)
		}
		defer f.Close()
		joins = append(joins, join{f, unix.CLONE_NEWUSER})
	}
	return cfg.launch("exec", 0, joins)
}

func sameNamespace(pid int, name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, name), &st); err != nil {
		return false, err
	}
	return isOwn(&st, name)
}

func ownNamespace(f *os.File, name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, err
	}
	return isOwn(&st, name)
}

func isOwn(st *unix.Stat_t, name string) (bool, error) {
	var own unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/"+name, &own); err != nil {
		return false, err
	}
	return own.Ino == st.Ino && own.Dev == st.Dev, nil
}
