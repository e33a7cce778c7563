package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
)

// pkg is a package by the names that package managers know it by.
type pkg struct{ apt, dnf, apk, pacman, zypper string }

var (
	uidmap      = pkg{"uidmap", "shadow-utils", "shadow-subids", "shadow", "shadow"}
	newKernel   = pkg{"linux-image-amd64", "kernel", "linux-lts", "linux", "kernel-default"}
	userSession = pkg{"dbus-user-session libpam-systemd", "dbus systemd", "dbus elogind", "dbus systemd", "dbus-1 systemd"}
)

// manager is a package manager, and the ids of the distributions that use it (os-release(5), ID and ID_LIKE).
type manager struct {
	program, command string
	ids              []string
	name             func(pkg) string
}

func managers() []manager {
	return []manager{
		{"apt-get", "apt-get install ", []string{"debian", "ubuntu"}, func(p pkg) string { return p.apt }},
		{"dnf", "dnf install ", []string{"fedora", "rhel", "centos"}, func(p pkg) string { return p.dnf }},
		{"apk", "apk add ", []string{"alpine"}, func(p pkg) string { return p.apk }},
		{"pacman", "pacman -S ", []string{"arch"}, func(p pkg) string { return p.pacman }},
		{"zypper", "zypper install ", []string{"suse", "opensuse", "sles"}, func(p pkg) string { return p.zypper }},
	}
}

// install is the command that installs a package: by the distribution that os-release says, else by the package manager
// that is there.
func (h Host) install(p pkg) string {
	var ids []string
	for line := range strings.Lines(h.read("/etc/os-release")) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key == "ID" || key == "ID_LIKE" {
			ids = append(ids, strings.Fields(strings.Trim(value, `"'`))...)
		}
	}
	for _, id := range ids {
		for _, m := range managers() {
			for _, known := range m.ids {
				if id == known || strings.HasPrefix(id, known+"-") {
					return h.sudo(m.command + m.name(p))
				}
			}
		}
	}
	for _, m := range managers() {
		if h.find(m.program) != "" {
			return h.sudo(m.command + m.name(p))
		}
	}
	return h.sudo("apt-get install "+p.apt) + " # or: " + h.sudo("dnf install "+p.dnf)
}

func (h Host) sudo(command string) string {
	if h.UID == 0 {
		return command
	}
	return "sudo " + command
}

// sysctl sets kernel parameters, for now and after a reboot.
func (h Host) sysctl(settings ...string) string {
	return fmt.Sprintf(`printf '%%s\n' '%s' | %s && %s`, strings.Join(settings, "' '"), h.sudo("tee -a /etc/sysctl.d/90-proa.conf"), h.sudo("sysctl --system"))
}

func (h Host) lingerCommand() string { return h.sudo("loginctl enable-linger " + h.User) }

// Explain adds to an error of the host's set-up what the checks say of its cause, and returns any other as it is.
func (h Host) Explain(err error) error {
	remedy := ""
	switch {
	case errors.Is(err, rootless.ErrNoSubIDs):
		return fmt.Errorf("%w: containers have only one uid and one gid; %s (proa doctor says more)", err, h.addSubIDs())
	case errors.Is(err, rootless.ErrNoMapper), errors.Is(err, rootless.ErrMapperPrivilege):
		remedy = h.mappers().Remedy
	case errors.Is(err, rootless.ErrUserNS):
		remedy = h.allowUserNS(err)
	case errors.Is(err, config.ErrNoRuntimeDir):
		remedy = h.runDirRemedy()
	case errors.Is(err, config.ErrNoDataDir):
		remedy = h.dataDirRemedy()
	}
	if remedy == "" {
		return err
	}
	return fmt.Errorf("%w; %s (proa doctor says more)", err, remedy)
}
