package serve

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

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

func (s *server) forget(id string) {
	os.Remove(filepath.Join(s.dir, netd.RecordsDir, id))
}
