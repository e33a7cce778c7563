package libpod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// followStep is between two looks where the kernel can't tell of changes.
	followStep = 50 * time.Millisecond
	// followLook is between two looks at whether a container lives whose monitor can't tell any more.
	followLook = time.Second
)

// logWatch waits for a log to grow or its container to end, by inotify(7).
type logWatch struct {
	f       *os.File // nil where there are no inotify instances left
	fd      int
	path    string
	watched bool // the log's directory is
	stop    func() bool
}

func newLogWatch(ctx context.Context, runDir, path string) *logWatch {
	w := &logWatch{path: path, stop: func() bool { return true }}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return w
	}
	w.f, w.fd = os.NewFile(uintptr(fd), "inotify"), fd
	unix.InotifyAddWatch(fd, runDir, unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_DELETE_SELF)
	w.watch()
	w.stop = context.AfterFunc(ctx, func() { w.f.SetReadDeadline(time.Unix(1, 0)) })
	return w
}

// watch looks at the log's directory: rotation puts another file in the place of the log.
func (w *logWatch) watch() {
	_, err := unix.InotifyAddWatch(w.fd, filepath.Dir(w.path), unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO)
	w.watched = err == nil
}

// wait returns when something may have changed, or at until.
func (w *logWatch) wait(ctx context.Context, until time.Time) error {
	step := followLook
	if w.f != nil && !w.watched {
		if w.watch(); w.watched {
			return nil // it may have been written to before
		}
	}
	if !w.watched {
		step = followStep
	}
	if !until.IsZero() {
		step = max(min(step, time.Until(until)), time.Millisecond)
	}
	if w.f == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step):
			return nil
		}
	}
	w.f.SetReadDeadline(time.Now().Add(step))
	if err := ctx.Err(); err != nil {
		return err
	}
	var buf [4096]byte
	_, err := w.f.Read(buf[:])
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func (w *logWatch) close() {
	w.stop()
	if w.f != nil {
		w.f.Close()
	}
}
