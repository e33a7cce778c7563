package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is both ends of a connection.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if b, err = NewConn(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestPackets(t *testing.T) {
	a, b := pair(t)
	buf := make([]byte, MaxPayload+1)
	for _, payload := range [][]byte{nil, {}, {0}, []byte("text\n"), bytes.Repeat([]byte{0xff}, MaxPayload)} {
		if err := a.Send(Stdout, payload); err != nil {
			t.Fatalf("sending %d bytes: %v", len(payload), err)
		}
		kind, got, err := b.Receive(buf)
		if err != nil || kind != Stdout || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes arrived as %q and %d bytes, %v", len(payload), kind, len(got), err)
		}
	}
	want := Exit{Code: 137, OOMKilled: true}
	if err := b.SendJSON(Exited, want); err != nil {
		t.Fatal(err)
	}
	kind, got, err := a.Receive(buf)
	var exit Exit
	if err != nil || kind != Exited || json.Unmarshal(got, &exit) != nil || exit != want {
		t.Errorf("arrived as %q %s, %v", kind, got, err)
	}
	if err := a.SendJSON(Exited, func() {}); err == nil {
		t.Error("what is no JSON was sent")
	}
}

func TestEndOfConversation(t *testing.T) {
	a, b := pair(t)
	if err := a.Send(Stdin, []byte("last")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	buf := make([]byte, MaxPayload+1)
	if _, got, err := b.Receive(buf); err != nil || string(got) != "last" {
		t.Errorf("what was sent before the end: %q, %v", got, err)
	}
	if _, _, err := b.Receive(buf); !errors.Is(err, io.EOF) {
		t.Errorf("the peer's end: %v", err)
	}
	if err := b.Send(Stdout, []byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("sending to nobody: %v", err) // and no SIGPIPE
	}
}

// TestResetIsAnEnd: the peer closed with something unread.
func TestResetIsAnEnd(t *testing.T) {
	a, b := pair(t)
	if err := b.Send(Stdout, []byte("unread")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if _, _, err := b.Receive(make([]byte, MaxPayload+1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer's end: %v", err)
	}
}

// TestCloseInterrupts: a reader and a writer that wait are let go.
func TestCloseInterrupts(t *testing.T) {
	a, _ := pair(t)
	done := make(chan error, 2)
	go func() { _, _, err := a.Receive(make([]byte, 10)); done <- err }()
	go func() {
		for {
			if err := a.Send(Stdin, make([]byte, MaxPayload)); err != nil {
				done <- err
				return
			}
		}
	}()
	a.Close()
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a closed connection gave no error")
		}
	}
}

// TestWriterWaits: a full buffer holds the writer back and loses nothing.
func TestWriterWaits(t *testing.T) {
	a, b := pair(t)
	const packets = 64
	go func() {
		for i := range packets {
			if a.Send(Stdout, bytes.Repeat([]byte{byte(i)}, MaxPayload)) != nil {
				break
			}
		}
		a.Close()
	}()
	buf := make([]byte, MaxPayload+1)
	for i := 0; ; i++ {
		_, got, err := b.Receive(buf)
		if errors.Is(err, io.EOF) {
			if i != packets {
				t.Errorf("%d packets arrived", i)
			}
			return
		}
		if err != nil || len(got) != MaxPayload || got[0] != byte(i) {
			t.Fatalf("packet %d: %d bytes, first %v, %v", i, len(got), got[:1], err)
		}
	}
}

func TestDialAndListen(t *testing.T) {
	// The path of a socket may have 107 bytes; a run directory may have more.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(dir); !errors.Is(err, unix.ENOENT) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, AttachFile), nil, 0o600); err != nil { // left by a monitor that was killed
		t.Fatal(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, AttachFile)); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c, err := Dial(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := c.Send(Stdin, []byte("hello")); err != nil {
				t.Error(err)
			}
			if kind, got, err := c.Receive(make([]byte, 100)); err != nil || kind != Stdout || string(got) != "hello" {
				t.Errorf("%q %q %v", kind, got, err)
			}
		})
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := c.Receive(make([]byte, 100))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(Stdout, got); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		c.Close()
	}
	end := make(chan error)
	go func() { _, err := l.Accept(); end <- err }()
	l.Close()
	if err := <-end; err == nil {
		t.Error("Accept of a closed listener gave a client")
	}
}

func TestFiles(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := a.SendFiles(Configure, []byte("x"), r, w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	kind, payload, files, err := b.ReceiveFiles(make([]byte, 100))
	if err != nil || kind != Configure || string(payload) != "x" || len(files) != 2 {
		t.Fatalf("%q %q %v %v", kind, payload, files, err)
	}
	for _, f := range files {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a received descriptor stays open over execve: %x, %v", flags, err)
		}
	}
	if _, err := files[1].WriteString("through"); err != nil {
		t.Fatal(err)
	}
	files[1].Close()
	if got, err := io.ReadAll(files[0]); err != nil || string(got) != "through" {
		t.Errorf("the descriptors carry %q, %v", got, err)
	}
	a.Close()
	if _, _, _, err := b.ReceiveFiles(make([]byte, 100)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer's end: %v", err)
	}
}

// TestLastPacketOfHasty: what was sent is heard, also when its sender did not read what it got.
func TestLastPacketOfHasty(t *testing.T) {
	for range 20 {
		a, file, err := Pair()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(file.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		b, err := NewConn(fd)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Send(Stdin, []byte("unread")); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(Exited, []byte("last")); err != nil {
			t.Fatal(err)
		}
		b.Close()
		kind, payload, err := a.Receive(make([]byte, MaxPayload+1))
		if err != nil || kind != Exited || string(payload) != "last" {
			t.Fatalf("heard %q %q, %v", kind, payload, err)
		}
		if _, _, err := a.Receive(make([]byte, MaxPayload+1)); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
		a.Close()
	}
}
