package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// shortNameConfig is the part of registries.conf(5) that says what a name without a registry means.
type shortNameConfig struct {
	Search  []string          `toml:"unqualified-search-registries"`
	Aliases map[string]string `toml:"aliases"`
}

// shortNames reads registries.conf, its drop-in files and the aliases that were recorded by earlier pulls. A missing file
// is an empty one.
func shortNames() (shortNameConfig, error) {
	all := shortNameConfig{Aliases: map[string]string{}}
	for _, path := range shortNameFiles() {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("read registries configuration: %w", err)
		}
		var one shortNameConfig
		if err := toml.Unmarshal(data, &one); err != nil {
			return all, fmt.Errorf("read registries configuration %q: %w", path, err)
		}
		if one.Search != nil {
			all.Search = one.Search
		}
		for k, v := range one.Aliases {
			all.Aliases[k] = v
		}
	}
	return all, nil
}

// shortNameFiles are the files of registries.conf(5), the ones that count most last.
func shortNameFiles() []string {
	home := os.Getenv("HOME")
	config := os.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(home, ".config")
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(home, ".cache")
	}
	recorded := filepath.Join(cache, "containers/short-name-aliases.conf")
	if env := os.Getenv("CONTAINERS_REGISTRIES_CONF"); env != "" {
		return []string{env, recorded}
	}
	var files []string
	for _, dir := range []string{"/usr/share/containers", "/etc/containers", filepath.Join(config, "containers")} {
		main := filepath.Join(dir, "registries.conf")
		if _, err := os.Stat(main); err == nil {
			// A main file replaces those of the directories before, drop-in files add to them.
			files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "registries.conf" })
			files = append(files, main)
		}
		dropIns, _ := filepath.Glob(filepath.Join(dir, "registries.conf.d/*.conf"))
		files = append(files, dropIns...)
	}
	return append(files, recorded)
}

// candidates are the full repositories that a short one may stand for, the likeliest first.
func (c shortNameConfig) candidates(repo string) []string {
	var out []string
	if full, ok := c.Aliases[repo]; ok {
		out = append(out, full)
	}
	hub := "docker.io/" + repo
	if !strings.Contains(repo, "/") {
		hub = "docker.io/library/" + repo
	}
	out = append(out, "localhost/"+repo, hub)
	for _, r := range c.Search {
		if r != "docker.io" {
			out = append(out, strings.TrimSuffix(r, "/")+"/"+repo)
		}
	}
	return out
}
