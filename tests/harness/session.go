package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Session is the same user with a systemd of its own, as after a login. It skips the test where systemd is not process 1
// or, when the tests run as an ordinary user, where that user's systemd does not run.
func (e *Env) Session(t testing.TB) *Env {
	t.Helper()
	f := *e
	f.Runtime = fmt.Sprintf("/run/user/%d", e.UID)
	socket := filepath.Join(f.Runtime, "systemd/private")
	if e.asRoot {
		Requires(t, "/run/systemd/system", "loginctl")
		// Lingering starts the user's systemd without a login.
		if out, err := exec.Command("loginctl", "enable-linger", e.Name).CombinedOutput(); err != nil {
			t.Fatalf("start the systemd of %s: %v: %s", e.Name, err, out)
		}
		Eventually(t, "the user's systemd makes "+socket, func() bool { return exists(socket) })
	}
	Requires(t, socket)
	return &f
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// endSession ends what Session or a test started; systemd then unmounts the runtime directory.
func (e *Env) endSession() error {
	if !exists("/var/lib/systemd/linger/" + e.Name) {
		return nil
	}
	if out, err := exec.Command("loginctl", "disable-linger", e.Name).CombinedOutput(); err != nil {
		return fmt.Errorf("end the systemd of %s: %w: %s", e.Name, err, out)
	}
	_ = exec.Command("loginctl", "terminate-user", e.Name).Run() // it may be gone with the lingering
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if !exists(e.Runtime) {
			return nil
		}
	}
	return errors.New("the systemd of " + e.Name + " does not end")
}
