package rootless

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMapperPrivilege(t *testing.T) {
	p := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(p, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	uid, gid := Mappers()[0], Mappers()[1]
	if err := uid.Privileged(p); !errors.Is(err, ErrMapperPrivilege) {
		t.Errorf("a plain program: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("giving a program privilege needs root")
	}
	// vfs_cap_data of revision 2 with the effective bit: cap_setuid (bit 7) is permitted.
	data := []byte{1, 0, 0, 2, 1 << 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(p, "security.capability", data, 0); err != nil {
		t.Skip("no file capabilities here: ", err)
	}
	if err := uid.Privileged(p); err != nil {
		t.Errorf("cap_setuid is not seen: %v", err)
	}
	if err := gid.Privileged(p); !errors.Is(err, ErrMapperPrivilege) {
		t.Errorf("cap_setuid is taken for cap_setgid: %v", err)
	}
	if err := os.Chmod(p, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := gid.Privileged(p); err != nil {
		t.Errorf("the setuid bit is not seen: %v", err)
	}
	if err := os.Chown(p, 1000, 1000); err != nil { // which takes the bit
		t.Fatal(err)
	}
	if err := os.Chmod(p, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := gid.Privileged(p); !errors.Is(err, ErrMapperPrivilege) {
		t.Errorf("the setuid bit of another user's: %v", err)
	}
	if err := uid.Privileged(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}
