package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Config is what of config.json concerns Linux: the JSON package would spend a third of a start's decoding on the
// types of other platforms, although none of them occurs.
type Config struct {
	Version     string            `json:"ociVersion"`
	Process     *specs.Process    `json:"process,omitempty"`
	Root        *specs.Root       `json:"root,omitempty"`
	Hostname    string            `json:"hostname,omitempty"`
	Domainname  string            `json:"domainname,omitempty"`
	Mounts      []specs.Mount     `json:"mounts,omitempty"`
	Hooks       *specs.Hooks      `json:"hooks,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Linux       *specs.Linux      `json:"linux,omitempty"`
}

// Spec is the whole type, without what Config does not have.
func (c *Config) Spec() *specs.Spec {
	return &specs.Spec{
		Version: c.Version, Process: c.Process, Root: c.Root, Hostname: c.Hostname, Domainname: c.Domainname,
		Mounts: c.Mounts, Hooks: c.Hooks, Annotations: c.Annotations, Linux: c.Linux,
	}
}

func newConfig(s *specs.Spec) *Config {
	return &Config{
		Version: s.Version, Process: s.Process, Root: s.Root, Hostname: s.Hostname, Domainname: s.Domainname,
		Mounts: s.Mounts, Hooks: s.Hooks, Annotations: s.Annotations, Linux: s.Linux,
	}
}

// LoadSpec reads a bundle's config.json.
func LoadSpec(bundle string) (*specs.Spec, error) {
	b, err := readConfig(bundle)
	if err != nil {
		return nil, err
	}
	return parseConfig(b, bundle)
}

func readConfig(bundle string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the bundle %q has no config.json; make one with the spec command", bundle)
	}
	if err != nil {
		return nil, fmt.Errorf("read the bundle's configuration: %w", err)
	}
	return b, nil
}

func parseConfig(b []byte, bundle string) (*specs.Spec, error) {
	c := new(Config)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("read %q: %w", filepath.Join(bundle, "config.json"), err)
	}
	s := c.Spec()
	if err := checkVersion(s.Version); err != nil {
		return nil, err
	}
	return s, nil
}

// checkVersion accepts versions 1.x.
func checkVersion(v string) error {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(v, "%d.%d.%d", &major, &minor, &patch); n != 3 {
		return fmt.Errorf("config.json: ociVersion %q is not a version", v)
	}
	if major != 1 {
		return fmt.Errorf("config.json: ociVersion %q is not supported; this runtime implements 1.x", v)
	}
	return nil
}
