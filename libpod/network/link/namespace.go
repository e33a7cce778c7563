// Package link owns what the kernel has of a user's networks: the network namespace with the bridges, the veth pairs
// between them and the containers, addresses, routes, and the nftables rules between networks. Who gets which address is
// the business of libpod/network/netd/serve. It runs in proa-netd, as root of the user namespace that owns the network
// namespace, or as root of the host.
package link

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is the network namespace with the bridges.
type Namespace struct {
	file *os.File
	nl   *netlink.Handle
	own  bool // made for the bridges: nothing else is in it
}

// Host is the namespace of this process.
func Host() (*Namespace, error) {
	f, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace: %w", err)
	}
	return open(f, false)
}

// Pinned is the namespace mounted at path, which is made and mounted there if there is none. The mount keeps it when all
// processes of it have ended.
func Pinned(path string) (*Namespace, error) {
	if f, err := os.Open(path); err == nil && isNamespace(f) {
		return open(f, true)
	} else if err == nil {
		f.Close()
	}
	f, err := makeAt(path)
	if err != nil {
		return nil, fmt.Errorf("making the network namespace: %w", err)
	}
	n, err := open(f, true)
	if err == nil {
		err = n.prepare()
	}
	if err != nil {
		return nil, errors.Join(err, Unpin(path))
	}
	return n, nil
}

// Pin mounts the network namespace ns at path.
func Pin(path string, ns *os.File) error {
	err := Unpin(path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil {
		err = unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), path, "", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("keeping the container's network namespace: %w", err)
	}
	return nil
}

// Unpin lets go of the namespace mounted at path, if there is one.
func Unpin(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("unmounting the network namespace: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func isNamespace(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && st.Type == unix.NSFS_MAGIC
}

func makeAt(path string) (*os.File, error) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return nil, err
	}
	var made *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		own := "/proc/thread-self/ns/net"
		if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting it at %q: %w", path, err)
		}
		var err error
		made, err = os.Open(own)
		return err
	})
	return made, err
}

func open(f *os.File, own bool) (*Namespace, error) {
	nl, err := handle(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Namespace{f, nl, own}, nil
}

// handle speaks netlink in the namespace ns. The libraries' own ways of opening one go back to the namespace they came
// from, which is the host's and may not be entered from proa's user namespace: the thread would stay where it is.
func handle(ns *os.File) (nl *netlink.Handle, err error) {
	err = doIn(ns, func() error {
		nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening netlink in a network namespace: %w", err)
	}
	return nl, nil
}

// onThread calls fn on a thread of its own, which ends with it.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the first thread can't end
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// File is a descriptor of the namespace, for as long as the Namespace is open.
func (n *Namespace) File() *os.File { return n.file }

// Own tells whether the namespace is there for the bridges alone.
func (n *Namespace) Own() bool { return n.own }

// Do calls fn on a thread in the namespace: the sockets that it makes are of it.
func (n *Namespace) Do(fn func() error) error { return doIn(n.file, fn) }

func doIn(ns *os.File, fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return fn()
	})
}

// Close lets go of the namespace, which goes on.
func (n *Namespace) Close() {
	n.nl.Close()
	n.file.Close()
}

// prepare makes a router of a new namespace.
func (n *Namespace) prepare() error {
	return n.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return fmt.Errorf("raising the loopback interface: %w", err)
		}
		// What one bridge carries is not to be seen by the rules of the whole namespace, where the kernel could do that.
		for _, table := range []string{"ip", "ip6", "arp"} {
			if err := setSysctl("net.bridge.bridge-nf-call-"+table+"tables", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return forward()
	})
}

// forward lets packets through between the interfaces of this thread's namespace.
func forward() error {
	if err := setSysctl("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	err := setSysctl("net.ipv6.conf.all.forwarding", "1")
	if errors.Is(err, os.ErrNotExist) { // a host without IPv6
		return nil
	}
	return err
}

// setSysctl sets a parameter of this thread's network namespace. An interface's name in it may have dots: they are
// slashes there, and the other way round (sysctl.d(5)).
func setSysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.NewReplacer(".", "/", "/", ".").Replace(key))
	if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); errors.Is(err, unix.EROFS) {
		return fmt.Errorf("setting the parameter %s: /proc/sys is read-only, as in a container: give that one --security-opt unmask=all, or this one --network none or host", key)
	} else if err != nil {
		return fmt.Errorf("setting the parameter %s: %w", key, err)
	}
	return nil
}
