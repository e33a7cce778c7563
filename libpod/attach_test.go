package libpod

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// typed is what reaches the container of the chunks typed, and whether the keys were hit.
func typed(keys string, chunks ...string) (string, bool) {
	var out, held []byte
	for _, c := range chunks {
		var send []byte
		var hit bool
		if send, held, hit = matchKeys(held, []byte(c), []byte(keys)); hit {
			return string(out), true
		}
		out = append(out, send...)
	}
	return string(out), false
}

func TestDetachKeys(t *testing.T) {
	const pq = "\x10\x11"
	for _, c := range []struct {
		chunks []string
		want   string
		hit    bool
	}{
		{[]string{"abc"}, "abc", false},
		{[]string{"a\x10", "b"}, "a\x10b", false},
		{[]string{"a\x10", "\x11"}, "a", true},
		{[]string{"\x10", "\x10", "\x11"}, "\x10", true},
		{[]string{"\x10\x11"}, "", true},
		{[]string{"\x11\x10"}, "\x11", false}, // the last may be the first of the keys
		{[]string{"", "\x10", "", "\x11"}, "", true},
	} {
		if got, hit := typed(pq, c.chunks...); got != c.want || hit != c.hit {
			t.Errorf("%q: %q, %v", c.chunks, got, hit)
		}
	}
	if got, hit := typed("aab", "aaa", "b"); hit != true || got != "a" {
		t.Errorf("keys that begin again within themselves: %q, %v", got, hit)
	}
}

func FuzzDetachKeys(f *testing.F) {
	f.Add("\x10\x11", "ab\x10\x10\x11c", uint8(2))
	f.Add("aab", "aaab", uint8(1))
	f.Fuzz(func(t *testing.T, keys, text string, size uint8) {
		if keys == "" || size == 0 {
			return
		}
		var chunks []string
		for s := text; s != ""; {
			n := min(int(size), len(s))
			chunks = append(chunks, s[:n])
			s = s[n:]
		}
		got, hit := typed(keys, chunks...)
		if hit != strings.Contains(text, keys) {
			t.Errorf("%q in %q: %v", keys, text, hit)
		}
		if !strings.HasPrefix(text, got) || !hit && len(text)-len(got) >= len(keys) {
			t.Errorf("of %q %q was sent", text, got)
		}
	})
}

// ends are both ends of an attached container.
func ends(t *testing.T) (client, server *monitor.Conn) {
	t.Helper()
	client, f, err := monitor.Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if server, err = monitor.NewConn(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func send(t *testing.T, c *monitor.Conn, kind byte, payload string) {
	t.Helper()
	if err := c.Send(kind, []byte(payload)); err != nil {
		t.Error(err)
	}
}

func TestStream(t *testing.T) {
	client, server := ends(t)
	input := strings.Repeat("0123456789", 10000) // several packets
	heard := make(chan string, 1)
	go func() {
		var in []byte
		buf := make([]byte, monitor.MaxPayload+1)
		for {
			kind, payload, err := server.Receive(buf)
			if err != nil || kind == monitor.StdinEOF {
				break
			}
			in = append(in, payload...)
		}
		heard <- string(in)
		send(t, server, monitor.Stdout, "out")
		send(t, server, monitor.Stderr, "err")
		send(t, server, 'Z', "of a later proa")
		send(t, server, monitor.Stdout, "put")
		if err := server.SendJSON(monitor.Exited, monitor.Exit{Code: 9}); err != nil {
			t.Error(err)
		}
	}()
	var out, errs bytes.Buffer
	exit, err := Stream(t.Context(), client, Streams{In: strings.NewReader(input), Out: &out, Err: &errs})
	if err != nil || exit.Code != 9 || out.String() != "output" || errs.String() != "err" {
		t.Errorf("%+v, %v, %q, %q", exit, err, out.String(), errs.String())
	}
	if got := <-heard; got != input {
		t.Errorf("the container read %d bytes of %d", len(got), len(input))
	}
}

func TestStreamEnds(t *testing.T) {
	client, server := ends(t)
	server.Close()
	_, err := Stream(t.Context(), client, Streams{})
	mustContain(t, err, "monitor was killed")

	client, server = ends(t)
	r, w := io.Pipe()
	go func() { w.Write([]byte("ab")); w.Write([]byte("\x10")); w.Write([]byte("\x11cd")) }()
	if _, err := Stream(t.Context(), client, Streams{In: r, DetachKeys: []byte("\x10\x11")}); !errors.Is(err, ErrDetached) {
		t.Errorf("the keys were typed: %v", err)
	}
	if _, got, err := server.Receive(make([]byte, 100)); err != nil || string(got) != "ab" {
		t.Errorf("the container read %q, %v", got, err)
	}

	client, server = ends(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	send(t, server, monitor.Stdout, "nobody reads it")
	_, err = Stream(t.Context(), client, Streams{Out: &plainWriter{write}})
	mustContain(t, err, "writing the container's output")
}

// plainWriter keeps os.File's SIGPIPE on standard output out of it.
type plainWriter struct{ f *os.File }

func (w *plainWriter) Write(b []byte) (int, error) { return w.f.Write(b) }

func TestAttachWithoutMonitor(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	_, err := e.Attach(c)
	var wrong *WrongStateError
	if !errors.As(err, &wrong) || wrong.State != Created {
		t.Errorf("not started: %v", err)
	}
	_, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	_, err = e.Attach(c)
	mustContain(t, err, `"web"`, "its monitor is gone", "stopped")
}
