package libpod

import (
	"fmt"
	"strings"

	"github.com/proa-containers/proa/libpod/network"
)

// linked finds the container that a --link names. It has to run.
func (e *Engine) linked(l network.Link) (*Container, error) {
	c, err := e.Lookup(l.Container)
	if err != nil {
		return nil, fmt.Errorf("--link %s:%s: %w", l.Container, l.Alias, err)
	}
	if st := e.Status(c); st.PID == 0 {
		return nil, fmt.Errorf("--link %s:%s: %w", l.Container, l.Alias, &WrongStateError{c.Name, st.State, "is not running: start it first"})
	}
	return c, nil
}

// links are the names that only c uses for its neighbours, for the name server.
func (e *Engine) links(c *Container) (map[string]string, error) {
	var out map[string]string
	for _, l := range c.Names.Links {
		other, err := e.linked(l)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string]string{}
		}
		out[l.Alias] = other.Name
	}
	return out, nil
}

// linkedHosts names the linked containers on the default network, where the name server knows no containers.
func (e *Engine) linkedHosts(b *strings.Builder, c *Container) error {
	for _, l := range c.Names.Links {
		other, err := e.linked(l)
		if err != nil {
			return err
		}
		rec, err := e.netRecord(other)
		if err != nil {
			return err
		}
		found := false
		if rec != nil {
			for _, lease := range rec.Leases {
				found = found || c.OnNetwork(lease.Network)
				if lease.Network != network.Default || !c.OnNetwork(network.Default) {
					continue
				}
				for _, a := range lease.Addresses {
					b.WriteString(a.Addr().String() + "\t" + l.Alias + " " + other.Name + "\n")
				}
			}
		}
		if !found {
			return fmt.Errorf("--link %s:%s: the two containers have no network in common", l.Container, l.Alias)
		}
	}
	return nil
}
