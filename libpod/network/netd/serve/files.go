package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod/network/netd"
)

// save writes the container's record whole, so that no reader sees a part.
func (s *server) save(c *container) error {
	b, err := json.Marshal(c.Record)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, netd.RecordsDir, c.ID)
	if err = os.WriteFile(path+".new", b, 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("recording the networks of container %.12s: %w", c.ID, err)
	}
	return nil
}

// noteBridge writes down the name of a bridge that is about to be made in a namespace which outlives netd.
func (s *server) noteBridge(name string) error {
	if s.ns.Own() || slices.Contains(s.notedBridges(), name) {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.dir, netd.BridgesFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(name + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("recording the bridge %q: %w", name, err)
	}
	return nil
}

func (s *server) notedBridges() []string {
	b, _ := os.ReadFile(filepath.Join(s.dir, netd.BridgesFile))
	return strings.Fields(string(b))
}

func (s *server) forget(id string) {
	os.Remove(filepath.Join(s.dir, netd.RecordsDir, id))
}
