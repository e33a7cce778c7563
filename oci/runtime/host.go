package runtime

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// HostOptions are the options that describe the host and the caller's namespaces, read from the kernel.
func HostOptions() Options {
	o := Options{DeviceNumber: deviceNumber}
	uids := readMap("/proc/self/uid_map")
	o.UserNS = !(len(uids) == 1 && uids[0] == plan.IDMap{Container: 0, Host: 0, Size: 1<<32 - 1})
	if o.UserNS {
		o.MappedGIDs = readMap("/proc/self/gid_map")
	} else {
		o.Grantable = grantable()
	}
	var st unix.Statfs_t
	o.UnifiedCgroup = unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
	o.AppArmor = strings.HasPrefix(readLine("/sys/module/apparmor/parameters/enabled"), "Y")
	o.SELinux = readLine("/sys/fs/selinux/enforce") != ""
	o.OOMScoreAdj, _ = strconv.Atoi(readLine("/proc/self/oom_score_adj")) // 0, the kernel's default, if unreadable
	return o
}

func grantable() uint64 {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return 0
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
}

func deviceNumber(path string) (uint32, uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return st.Mode, st.Rdev, err
}

func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func readMap(path string) []plan.IDMap {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var maps []plan.IDMap
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var m plan.IDMap
		if n, _ := fmt.Sscan(s.Text(), &m.Container, &m.Host, &m.Size); n == 3 {
			maps = append(maps, m)
		}
	}
	return maps
}
