package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// Program is the path of another of proa's programs: beside this one as built, or in libexec as installed.
func Program(name string) (string, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("finding proa itself: %w", err)
	}
	dir := filepath.Dir(self)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "proa", name)} {
		if _, err := os.Stat(p); err == nil {
			return filepath.Clean(p), nil
		}
	}
	return "", fmt.Errorf("%s is neither beside %s nor in ../libexec/proa: install proa whole, with `make install`", name, self)
}
