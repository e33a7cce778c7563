package serve

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// startFifo makes the fifo that holds the command back. The init re-opens it through this handle.
func (s *server) startFifo() (*os.File, error) {
	path := filepath.Join(s.cfg.Dir, monitor.StartFile)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("making the start fifo: %w", err)
	}
	// The container's user may be another, and opens it for writing.
	if err := os.Chmod(path, 0o622); err != nil {
		return nil, fmt.Errorf("making the start fifo: %w", err)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the start fifo: %w", err)
	}
	return os.NewFile(uintptr(fd), "start fifo"), nil
}
