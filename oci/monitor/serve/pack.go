package serve

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// packed is behind the name of a log that was rotated away and compressed. Until it is there whole, the one that is not
// compressed is; where both are, a crash came between.
const packed = ".gz"

// packing is a process that compresses what was rotated away: the memory and the time that it takes are not the monitor's.
type packing struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// startPacking begins; what can't be compressed stays as it is. The monitor runs the file that it was started from.
func startPacking(l monitor.Log) *packing {
	p := &packing{exec.Command("/proc/self/exe", "pack-logs", l.Path, strconv.Itoa(l.MaxFiles)), make(chan struct{})}
	if p.cmd.Start() != nil {
		return nil
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p
}

// end ends what goes on: the next rotation, which is not to wait, gives the files other names. What is left is compressed
// after it.
func (p *packing) end() {
	if p != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// PackLogs compresses the files that the log PATH of so many FILES was rotated into, the oldest first. It is a process of
// its own, which may be killed at any time.
func PackLogs(args []string) error {
	if len(args) != 2 {
		return errors.New("want the log's path and its number of files")
	}
	files, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("reading the number of files: %w", err)
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
	for i := files - 1; i > 0; i-- {
		if err := packLog(rotated(args[0], i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// packLog compresses one file. Its comment says which file it was, to a reader that has that open: device, inode, size and
// nanoseconds of the last change, since an inode is soon another file's.
func packLog(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(in.Fd()), &st); err != nil {
		return err
	}
	draft := path + packed + ".new"
	out, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err == nil {
		z.Comment = fmt.Sprintf("%d:%d:%d:%d", st.Dev, st.Ino, st.Size, st.Mtim.Nano())
		_, err = io.Copy(z, in)
		err = errors.Join(err, z.Close())
	}
	if err = errors.Join(err, out.Close()); err == nil && !names(path, st) {
		err = errors.New("it was rotated meanwhile")
	}
	if err == nil {
		err = os.Rename(draft, path+packed)
	}
	if err != nil {
		os.Remove(draft)
		return fmt.Errorf("compressing %s: %w", path, err)
	}
	if names(path, st) {
		return os.Remove(path)
	}
	return nil
}

// names tells whether path is the file st still: a monitor that was killed and started anew knows of no other's packing.
func names(path string, st unix.Stat_t) bool {
	var now unix.Stat_t
	return unix.Stat(path, &now) == nil && now.Dev == st.Dev && now.Ino == st.Ino
}
