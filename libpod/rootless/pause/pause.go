// Package pause is the process that keeps proa's user and mount namespace alive between two commands. It runs in
// proa-init, holds no privilege and does nothing but hold a POSIX lock that names it (see libpod/rootless).
package pause

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// fds as libpod/rootless lays them: 3 is the program, 4 the conversation with the one who starts us.
const conversation = 4

// Run waits until its ids are mapped, takes the lock at path, says so and sleeps for good. SIGTERM ends it.
func Run(path string) error {
	conv := os.NewFile(conversation, "starter")
	b := make([]byte, 1)
	if _, err := conv.Read(b); err != nil {
		return fmt.Errorf("waiting for the id mapping: %w", err)
	}
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/null: %w", err)
	}
	for i := 0; i < 3; i++ {
		unix.Dup3(null, i, 0)
	}
	if _, err := conv.Write(b); err != nil {
		return err
	}
	conv.Close()
	unix.Close(3)
	debug.SetGCPercent(-1) // a collection, of which one comes every two minutes, needs more memory than there is to collect
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	<-term
	return nil
}
