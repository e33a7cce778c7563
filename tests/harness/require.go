package harness

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Requires skips the test unless every program named is installed. "root" stands for running the tests as root,
// "vm" for a machine of hack/vm.sh, a path with a slash for a file that must exist.
func Requires(t testing.TB, needs ...string) {
	t.Helper()
	var missing []string
	for _, n := range needs {
		var err error
		switch {
		case n == "root":
			if os.Getuid() != 0 {
				err = os.ErrPermission
			}
		case n == "vm":
			if n = "a virtual machine (make test-vm)"; !InVM() {
				err = os.ErrNotExist
			}
		case strings.Contains(n, "/"):
			_, err = os.Stat(n)
		default:
			_, err = exec.LookPath(n)
		}
		if err != nil {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		t.Skipf("needs %s, which this machine lacks ('make test-setup' installs what can be installed)", strings.Join(missing, ", "))
	}
}
