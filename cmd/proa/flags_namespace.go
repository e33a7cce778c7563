package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func namespaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "pid", Usage: "`MODE` of the process namespace: private, host, container:NAME or ns:PATH"},
		&cli.StringFlag{Name: "ipc", Usage: "`MODE` of the IPC namespace: private, host or ns:PATH"},
		&cli.StringFlag{Name: "uts", Usage: "`MODE` of the host name's namespace: private, host, container:NAME or ns:PATH"},
		&cli.StringFlag{Name: "cgroupns", Usage: "`MODE` of the cgroup namespace: private, host, container:NAME or ns:PATH"},
		&cli.StringFlag{Name: "hostname", Aliases: []string{"h"}, Usage: "host `NAME` of the container"},
		&cli.StringFlag{Name: "domainname", Usage: "NIS domain `NAME` of the container"},
	}
}

func parseNamespaces(c *cli.Context, n *spec.Namespaces) error {
	for _, f := range []struct {
		name  string
		field *string
	}{
		{"pid", &n.PID}, {"ipc", &n.IPC}, {"uts", &n.UTS}, {"cgroupns", &n.Cgroup},
	} {
		if *f.field = c.String(f.name); !validMode(*f.field) {
			return fmt.Errorf("invalid --%s %q: %s", f.name, *f.field, "private, host, container:NAME or ns:PATH")
		}
	}
	if strings.HasPrefix(n.IPC, "container:") {
		return fmt.Errorf("--ipc %q: sharing another container's /dev/shm is not supported yet; private, host or ns:PATH", n.IPC)
	}
	n.Hostname, n.Domainname = c.String("hostname"), c.String("domainname")
	for _, name := range []string{n.Hostname, n.Domainname} {
		if len(name) > 64 || strings.ContainsFunc(name, badHostRune) {
			return fmt.Errorf("invalid host name or domain name %q: up to 64 letters, digits, - _ and .", name)
		}
	}
	return nil
}

func badHostRune(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
}

func validMode(mode string) bool {
	if file, ok := strings.CutPrefix(mode, "ns:"); ok {
		return path.IsAbs(file)
	}
	if name, ok := strings.CutPrefix(mode, "container:"); ok {
		return name != ""
	}
	return mode == "" || mode == "private" || mode == "host"
}

// checkSysctl refuses a parameter that is not of a namespace which the container has for itself (runc's and Docker's
// rule: it would be the host's).
func checkSysctl(key string, n spec.Namespaces) error {
	ipc := []string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}
	switch {
	case slices.Contains(ipc, key) || strings.HasPrefix(key, "fs.mqueue."):
		if n.IPC == "host" {
			return fmt.Errorf("--sysctl %q would change the host: the container has --ipc host", key)
		}
	case strings.HasPrefix(key, "net."):
		if n.Network == "host" {
			return fmt.Errorf("--sysctl %q would change the host: the container has --network host", key)
		}
	default:
		return fmt.Errorf("--sysctl %q is not of a namespace: fs.mqueue.*, net.* or one of %s", key, strings.Join(ipc, " "))
	}
	return nil
}
