package driver

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Configure adds the global arguments that the runtime needs to work for proa, which makes the cgroups. With birth it
// is told, where that can be, to leave cgroups alone: its processes are then to be born in the container's.
func (r *Runtime) Configure(birth bool) {
	if !isCrun(r.Args[0]) {
		return
	}
	manager := "cgroupfs"
	if r.Born = birth; birth {
		manager = "disabled"
	}
	r.Args = append(r.Args, "--cgroup-manager="+manager)
}

func isCrun(path string) bool { return strings.Contains(filepath.Base(path), "crun") }

// KnowsDomainname tells whether the runtime acts on domainname, which came with version 1.1 of the runtime
// specification: an older one reads over it. crun has done so since before it told its features.
func (r Runtime) KnowsDomainname() bool {
	if isCrun(r.Args[0]) {
		return true
	}
	cmd := exec.Command(r.Args[0], "features")
	cmd.Env = r.Env
	out, err := cmd.Output()
	if err != nil {
		return false
	}
	var features struct{ OCIVersionMax string }
	var major, minor int
	if json.Unmarshal(out, &features) != nil {
		return false
	}
	n, _ := fmt.Sscanf(features.OCIVersionMax, "%d.%d", &major, &minor)
	return n == 2 && (major > 1 || major == 1 && minor >= 1)
}
