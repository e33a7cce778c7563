package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Install is the command that installs a package, named as Debian and as Fedora name it, on the distribution that
// /etc/os-release below root says.
func Install(root, debian, fedora string) string {
	b, _ := os.ReadFile(root + "/etc/os-release")
	for _, line := range strings.Split(string(b), "\n") {
		key, value, _ := strings.Cut(line, "=")
		if key != "ID" && key != "ID_LIKE" {
			continue
		}
		for _, id := range strings.Fields(strings.Trim(value, `"'`)) {
			switch id {
			case "debian", "ubuntu":
				return "sudo apt-get install " + debian
			case "fedora", "rhel", "centos":
				return "sudo dnf install " + fedora
			}
		}
	}
	return fmt.Sprintf("sudo apt-get install %s, or sudo dnf install %s", debian, fedora)
}

// SubIDsRemedy gives user subordinate ids behind all that the files below root give anybody: users who share some can
// reach each other's files. The pause process keeps the mapping it was started with.
func SubIDsRemedy(root, user string) string {
	start := max(100000, endOfSubIDs(root+"/etc/subuid"), endOfSubIDs(root+"/etc/subgid"))
	span := fmt.Sprintf("%d-%d", start, start+65535)
	return "sudo usermod --add-subuids " + span + " --add-subgids " + span + " " + user + ", then pkill -u " + user + " -f '^proa-pause '"
}

// endOfSubIDs is the first id behind every range of a file (subuid(5)), 0 without any.
func endOfSubIDs(file string) (end int) {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		part := strings.Split(strings.TrimSpace(line), ":")
		if len(part) != 3 {
			continue
		}
		start, err1 := strconv.Atoi(part[1])
		size, err2 := strconv.Atoi(part[2])
		if err1 == nil && err2 == nil {
			end = max(end, start+size)
		}
	}
	return end
}

// MapperRemedy installs newuidmap and newgidmap.
func MapperRemedy(root string) string { return Install(root, "uidmap", "shadow-utils") }

// userNSSwitch is a kernel setting that forbids user namespaces.
type userNSSwitch struct {
	file, bad, key, good string
}

var userNSSwitches = [...]userNSSwitch{
	{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces", "28633"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone", "1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns", "0"},
}

// UserNSRemedy allows user namespaces: it names the settings below root that forbid them.
func UserNSRemedy(root string) string {
	h := Host{Root: root}
	var settings []string
	for _, s := range userNSSwitches {
		if h.read(s.file) == s.bad {
			settings = append(settings, s.key+"="+s.good)
		}
	}
	if len(settings) == 0 {
		return "no sysctl forbids them: allow unshare and clone with CLONE_NEWUSER in the seccomp profile or security module that this shell runs under"
	}
	return `printf '%s\n' ` + strings.Join(settings, " ") + " | sudo tee /etc/sysctl.d/90-proa.conf && sudo sysctl --system"
}
