package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/monitor"
)

// stuckLog is a log of size bytes of buffer on a pipe that nobody reads, as a disk that hangs.
func stuckLog(t *testing.T, size int64) (logger, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	log, _ := openTestLog(t, monitor.Log{Driver: "k8s-file", Path: path, Buffer: size})
	return log, reader
}

// TestRingNeverBlocks: what the log does not take is dropped by whole lines, and every byte is in the log or counted.
func TestRingNeverBlocks(t *testing.T) {
	for _, size := range []int64{4 << 10, 100 << 10} {
		t.Run(strconv.FormatInt(size, 10), func(t *testing.T) {
			log, reader := stuckLog(t, size)
			sent, messages := 0, 0
			write := func(stream, text string) {
				mustWrite(t, log, stream, []byte(text))
				sent += len(text)
				messages += strings.Count(text, "\n")
			}
			for n := range 3000 { // far more than the pipe and the buffer hold
				write("stdout", fmt.Sprintf("line %d of output\nanother %d ", n, n))
				write("stdout", "and its end\n")
				write("stderr", strings.Repeat("x", n%500)+"\n")
			}
			got, kept, dropped, lost := bufio.NewScanner(reader), 0, 0, 0
			note := regexp.MustCompile(`proa: (\d+) messages, (\d+) bytes of output, were dropped here`)
			for kept+lost < sent {
				if !got.Scan() {
					t.Fatal(got.Err())
				}
				f := strings.SplitN(got.Text(), " ", 4)
				if m := note.FindStringSubmatch(f[3]); m != nil {
					n, _ := strconv.Atoi(m[1])
					b, _ := strconv.Atoi(m[2])
					dropped, lost = dropped+n, lost+b
					continue
				}
				kept += len(f[3])
				if f[2] == "F" {
					kept++
					messages--
				}
			}
			if kept+lost != sent || dropped != messages {
				t.Errorf("%d bytes were written, %d are in the log and %d counted; %d messages are not in the log, %d counted", sent, kept, lost, messages, dropped)
			}
			if err := log.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRingEnds: the end waits for a log that is slow and not for one that is stuck.
func TestRingEnds(t *testing.T) {
	log, reader := stuckLog(t, 1<<20)
	text := bytes.Repeat([]byte("0123456789abcde\n"), 4<<10)
	for range 4 {
		mustWrite(t, log, "stdout", text)
	}
	read := make(chan int)
	go func() {
		lines := 0
		for s := bufio.NewScanner(reader); lines < 16<<10 && s.Scan(); lines++ {
			if lines%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		read <- lines
	}()
	if err := log.close(); err != nil {
		t.Error(err)
	}
	if n := <-read; n != 16<<10 {
		t.Errorf("%d lines are in the log", n)
	}
	log, _ = stuckLog(t, 1<<20)
	for range 4 {
		mustWrite(t, log, "stdout", text)
	}
	if log.close() == nil {
		t.Error("the end of a stuck log is no error")
	}
}

// TestRingOrder: records keep their order and bytes around the end of the buffer, also when it is given back meanwhile.
func TestRingOrder(t *testing.T) {
	log, path := openTestLog(t, monitor.Log{Driver: "k8s-file", Buffer: 5000})
	r := log.(*ring)
	var want []string
	for n := range 500 {
		line := fmt.Sprintf("%d %s", n, strings.Repeat("y", n*7%900))
		for { // wait for room: nothing may be dropped here
			r.mu.Lock()
			used := r.used
			r.mu.Unlock()
			if used < 3000 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		mustWrite(t, log, "stdout", []byte(line+"\n"))
		if n%50 == 0 {
			log.release()
		}
		want = append(want, line)
	}
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	got := lines(t, path)
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for n := range got {
		if !strings.HasSuffix(got[n], " stdout F "+want[n]) {
			t.Fatalf("line %d is %q, want %q", n, got[n], want[n])
		}
	}
}
