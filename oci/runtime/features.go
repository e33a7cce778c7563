package runtime

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups/systemd"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features describes the runtime to the engines that ask (runtime-spec, features.md).
func Features(seccomp *features.Seccomp) *features.Features {
	yes, no := true, false
	host := HostOptions()
	sd := systemd.IsRunningSystemd()
	var namespaces, caps []string
	for t := range namespaceFlags {
		namespaces = append(namespaces, string(t))
	}
	slices.Sort(namespaces)
	for _, c := range capability.ListKnown() {
		caps = append(caps, "CAP_"+strings.ToUpper(c.String()))
	}
	options := append(slices.Collect(maps.Keys(mountOptions)), "bind", "rbind", "idmap", "ridmap", "tmpcopyup", "src-nofollow", "copy-symlink")
	slices.Sort(options)
	return &features.Features{
		OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version, MountOptions: options,
		Hooks: []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		Linux: &features.Linux{
			Namespaces: namespaces, Capabilities: caps, Seccomp: seccomp,
			Cgroup:          &features.Cgroup{V1: &yes, V2: &yes, Systemd: &sd, SystemdUser: &sd, Rdma: &yes},
			Apparmor:        &features.Apparmor{Enabled: &host.AppArmor},
			Selinux:         &features.Selinux{Enabled: &host.SELinux},
			IntelRdt:        &features.IntelRdt{Enabled: &no},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &no},
		},
	}
}
