package libpod

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
)

// Connect puts the container on one more network: at once if it runs, and from its next start on.
func (e *Engine) Connect(c *Container, a network.Attachment) error {
	return e.changeNetworks(c, func() error {
		networks, err := e.Networks()
		if err != nil {
			return err
		}
		n, err := networks.Get(a.Network)
		if err != nil {
			return err
		}
		a.Network = n.Name
		if err := n.Admits(a); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Networks, func(b network.Attachment) bool { return b.Network == n.Name }) {
			return fmt.Errorf("container %q is on network %q already", c.Name, dockerName(n.Name))
		}
		if err := e.changeRunning(c, (*netd.Client).Connect, netd.Change{ID: c.ID, Attachment: a, Network: *n}); err != nil {
			return err
		}
		c.Networks = append(c.Networks, a)
		e.sayMember("connect", n, c)
		return nil
	})
}

// ErrNotOnNetwork says that a container is not on the network that it is to be taken off.
var ErrNotOnNetwork = errors.New("the container is not on the network")

// Disconnect takes the container off a network: at once if it runs, and from its next start on.
func (e *Engine) Disconnect(c *Container, ref string) error {
	return e.changeNetworks(c, func() error {
		n := &network.Network{Name: network.Canonical(ref)} // which may be gone
		if networks, err := e.Networks(); err == nil {
			if found, err := networks.Get(ref); err == nil {
				n = found
			}
		}
		name := n.Name
		i := slices.IndexFunc(c.Networks, func(b network.Attachment) bool { return b.Network == name })
		if i < 0 {
			return fmt.Errorf("%w: container %q, network %q", ErrNotOnNetwork, c.Name, ref)
		}
		if err := e.changeRunning(c, (*netd.Client).Disconnect, netd.Change{ID: c.ID, Network: network.Network{Name: name}}); err != nil {
			return err
		}
		c.Networks = slices.Delete(c.Networks, i, i+1)
		e.sayMember("disconnect", n, c)
		return nil
	})
}

// ReloadNetworks has netd make its rules in the kernel again.
func (e *Engine) ReloadNetworks() error { return e.netd().Reload() }

// changeNetworks has change work on c's record, with its lock.
func (e *Engine) changeNetworks(c *Container, change func() error) error {
	unlock, err := e.lock(c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.reread(c); err != nil {
		return err
	}
	if !c.networked() {
		return fmt.Errorf("container %q has --network %s: only a container that was made with networks can be put on another", c.Name, c.Config.Namespaces.Network)
	}
	if err := change(); err != nil {
		return err
	}
	r, err := c.record()
	if err != nil {
		return err
	}
	return e.state.Put(r)
}

// changeRunning has netd do what ch says to a container that runs.
func (e *Engine) changeRunning(c *Container, do func(*netd.Client, netd.Change, *os.File) (netd.Answer, error), ch netd.Change) error {
	st := e.Status(c)
	var path string
	switch {
	case c.pinned() && (st.PID != 0 || st.State == Restarting):
		path = netd.PinFile(e.netdDir(), c.ID)
	case st.PID != 0:
		path = fmt.Sprintf("/proc/%d/ns/net", st.PID)
	default:
		return nil
	}
	netns, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it has just ended
	}
	if err != nil {
		return fmt.Errorf("opening the network namespace of container %q: %w", c.Name, err)
	}
	answer, err := do(e.netd(), ch, netns)
	if err != nil {
		return err
	}
	return e.writeNetFiles(c, answer)
}

// OnNetwork tells whether the container is on the network, now or when it is started.
func (c *Container) OnNetwork(name string) bool {
	return c.networked() && slices.ContainsFunc(c.Networks, func(a network.Attachment) bool { return a.Network == name })
}
