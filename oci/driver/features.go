package driver

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Global are the global arguments that the executable at path needs to work for proa, which makes the cgroups.
func Global(path string) []string {
	if isCrun(path) {
		return []string{"--cgroup-manager=disabled"}
	}
	return nil
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
