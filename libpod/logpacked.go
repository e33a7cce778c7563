package libpod

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// logFile is one of the files of a log; packed tells that it is compressed.
type logFile struct {
	*os.File
	packed bool
}

// openLogFile opens the file that was the log i rotations ago. Compressed it is there before the other is removed.
func openLogFile(path string, i int) (logFile, error) {
	if i > 0 {
		path += "." + strconv.Itoa(i)
	}
	f, err := os.Open(path)
	if i == 0 || !errors.Is(err, os.ErrNotExist) {
		return logFile{f, false}, err
	}
	f, err = os.Open(path + ".gz")
	return logFile{f, true}, err
}

// is tells whether f is the file that is open as other, or was before it was compressed: what it was is its comment.
func (f logFile) is(other *os.File) bool {
	mine, err := f.Stat()
	theirs, failed := other.Stat()
	if err != nil || failed != nil {
		return false
	}
	sys, ok := theirs.Sys().(*syscall.Stat_t)
	if !f.packed || !ok {
		return os.SameFile(mine, theirs)
	}
	z, err := gzip.NewReader(io.NewSectionReader(f.File, 0, 1<<10))
	return err == nil && z.Comment == fmt.Sprintf("%d:%d:%d:%d", sys.Dev, sys.Ino, sys.Size, sys.Mtim.Nano())
}

// unpack puts what f has, not compressed, in its place, in a file without a name.
func (f *logFile) unpack() error {
	if !f.packed {
		return nil
	}
	z, err := gzip.NewReader(f.File)
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", f.Name(), err)
	}
	plain, err := os.CreateTemp("", "proa-log-")
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", f.Name(), err)
	}
	os.Remove(plain.Name())
	_, err = io.Copy(plain, z)
	if err == nil {
		_, err = plain.Seek(0, io.SeekStart)
	}
	if err != nil {
		plain.Close()
		return fmt.Errorf("unpacking %s: %w", f.Name(), err)
	}
	f.Close()
	f.File, f.packed = plain, false
	return nil
}

func closeFiles(files []logFile) {
	for _, f := range files {
		f.Close()
	}
}
