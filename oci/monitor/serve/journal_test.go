package serve

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// journald is a socket in the journal's place.
func journald(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// entry reads one entry from the socket.
func entry(t *testing.T, fd int) map[string]string {
	t.Helper()
	buf, oob := make([]byte, 1<<20), make([]byte, 128)
	n, oobn, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
	if err != nil {
		t.Fatal(err)
	}
	buf = buf[:n]
	if oobn > 0 {
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			t.Fatal(err)
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil {
			t.Fatal(err)
		}
		seals, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GET_SEALS, 0)
		if err != nil || seals&unix.F_SEAL_WRITE == 0 {
			t.Errorf("the memory file is not sealed: %x, %v", seals, err)
		}
		f := os.NewFile(uintptr(fds[0]), "entry")
		defer f.Close()
		if buf, err = io.ReadAll(io.NewSectionReader(f, 0, 1<<30)); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]string{}
	for len(buf) > 0 {
		line, rest, _ := bytes.Cut(buf, []byte("\n"))
		name, value, ok := strings.Cut(string(line), "=")
		if !ok {
			size := binary.LittleEndian.Uint64(rest)
			value, rest = string(rest[8:8+size]), rest[8+size+1:]
		}
		out[name], buf = value, rest
	}
	return out
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	fd := journald(t, path)
	l, err := openLog(monitor.Log{Driver: "journald", Path: path, Attrs: map[string]string{"CONTAINER_NAME": "c", "LABEL": "two\nlines"}})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, l, "stdout", []byte("one\ntw"))
	mustWrite(t, l, "stderr", []byte("err\x00\xff\n"))
	mustWrite(t, l, "stdout", []byte("o\n\nlast"))
	mustWrite(t, l, "stdout", nil)
	for _, want := range []map[string]string{
		{"MESSAGE": "one", "PRIORITY": "6"}, {"MESSAGE": "err\x00\xff", "PRIORITY": "3"}, {"MESSAGE": "two", "PRIORITY": "6"}, {"MESSAGE": "", "PRIORITY": "6"},
	} {
		got := entry(t, fd)
		if got["MESSAGE"] != want["MESSAGE"] || got["PRIORITY"] != want["PRIORITY"] || got["CONTAINER_NAME"] != "c" || got["LABEL"] != "two\nlines" || got["CONTAINER_PARTIAL_MESSAGE"] != "" {
			t.Errorf("entry %q, want %q", got, want)
		}
	}
	long := strings.Repeat("ü", maxLine)
	mustWrite(t, l, "stderr", []byte(long+"\n"))
	var back string
	for back != long {
		got := entry(t, fd)
		back += got["MESSAGE"]
		if !strings.HasPrefix(long, back) || (got["CONTAINER_PARTIAL_MESSAGE"] == "true") != (back != long) {
			t.Fatalf("a long line: %d bytes so far, partial %q", len(back), got["CONTAINER_PARTIAL_MESSAGE"])
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if got := entry(t, fd); got["MESSAGE"] != "last" || got["CONTAINER_PARTIAL_MESSAGE"] != "true" {
		t.Errorf("the unfinished line: %q", got)
	}
}

// TestJournalTakesLargeEntries: an entry that no datagram holds goes as a memory file.
func TestJournalTakesLargeEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	fd := journald(t, path)
	large := strings.Repeat("x", 300<<10)
	l, err := openLog(monitor.Log{Driver: "journald", Path: path, Attrs: map[string]string{"LABEL": large}})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, l, "stdout", []byte("one\n"))
	if got := entry(t, fd); got["MESSAGE"] != "one" || got["LABEL"] != large {
		t.Errorf("%d bytes of label, message %q", len(got["LABEL"]), got["MESSAGE"])
	}
}

func TestJournalThatGoesAndComes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	if _, err := openLog(monitor.Log{Driver: "journald", Path: path}); err == nil || !strings.Contains(err.Error(), "k8s-file") {
		t.Fatalf("no journal: %v", err)
	}
	fd := journald(t, path)
	l, err := openLog(monitor.Log{Driver: "journald", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if err := l.write("stdout", []byte("gone\n")); err == nil {
		t.Error("a journal that has gone takes entries")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.write("stdout", []byte("gone\n")); err == nil {
		t.Error("a journal that has gone takes entries")
	}
	fd = journald(t, path)
	mustWrite(t, l, "stdout", []byte("here\n"))
	if got := entry(t, fd); !strings.Contains(got["MESSAGE"], "8 bytes of output were lost") || got["PRIORITY"] != "3" {
		t.Errorf("the loss is not told: %q", got)
	}
	if got := entry(t, fd); got["MESSAGE"] != "here" {
		t.Errorf("after the loss: %q", got)
	}
}
