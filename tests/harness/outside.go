package harness

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Outside is a network beyond the host: a network namespace that the host has a veth pair to.
type Outside struct {
	Host, Address   netip.Addr // of the pair's ends
	Host6, Address6 netip.Addr
	name            string
}

// NewOutside makes one, which goes with the test.
func NewOutside(t testing.TB) *Outside {
	t.Helper()
	Requires(t, "root", "ip")
	n := os.Getpid() % 16384
	third, fourth := byte(n/64), byte(n%64*4) // of the range for benchmarks (RFC 2544)
	o := &Outside{
		Host: netip.AddrFrom4([4]byte{198, 18, third, fourth + 1}), Address: netip.AddrFrom4([4]byte{198, 18, third, fourth + 2}),
		Host6: netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n)), Address6: netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::2", n)),
		name: fmt.Sprintf("proa-out-%d", os.Getpid()),
	}
	pair := fmt.Sprintf("po%d", os.Getpid())
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", pair).Run() // with the namespace it would go some time later
		_ = exec.Command("ip", "netns", "del", o.name).Run()
	})
	for _, args := range []string{
		"netns add " + o.name,
		"link add " + pair + " type veth peer name out netns " + o.name,
		fmt.Sprintf("addr add %v/30 dev %s", o.Host, pair), fmt.Sprintf("addr add %v/64 dev %s nodad", o.Host6, pair), "link set " + pair + " up",
		fmt.Sprintf("-n %s addr add %v/30 dev out", o.name, o.Address), fmt.Sprintf("-n %s addr add %v/64 dev out nodad", o.name, o.Address6),
		"-n " + o.name + " link set out up", "-n " + o.name + " link set lo up",
		"-n " + o.name + " route add default via " + o.Host.String(),
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	return o
}

// In runs fn on a thread of the outside.
func (o *Outside) In(t testing.TB, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		f, err := os.Open("/run/netns/" + o.name)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("outside: %v", err)
	}
}

// Echo listens outside on every address and answers each line of a connection with the client's address and the line. It
// returns its port.
func (o *Outside) Echo(t testing.TB) int {
	t.Helper()
	var l net.Listener
	o.In(t, func() (err error) {
		l, err = net.Listen("tcp", ":0")
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintf(c, "%v %s\n", c.RemoteAddr(), lines.Text())
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// Ask connects from outside to address, sends a line and returns what comes back until the other end closes.
func (o *Outside) Ask(t testing.TB, address, line string) (answer string, err error) {
	t.Helper()
	var c net.Conn
	o.In(t, func() error {
		c, err = net.DialTimeout("tcp", address, defaultTimeout)
		return nil
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}
