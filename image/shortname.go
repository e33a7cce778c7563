package image

import (
	"bytes"
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

// shortNameFile is a file of registries.conf(5).
type shortNameFile struct {
	path string
	data []byte
}

type shortNameFiles []shortNameFile

// readShortNames reads registries.conf, its drop-in files and the aliases that were recorded by earlier pulls, the ones
// that count most last. A missing file is an empty one.
func readShortNames() (shortNameFiles, error) {
	var files shortNameFiles
	for _, path := range shortNamePaths() {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read registries configuration: %w", err)
		}
		files = append(files, shortNameFile{path, data})
	}
	return files, nil
}

// onlyAlias tells, without the time that parsing takes, that repo has no alias but perhaps full: no line that has the one
// lacks the other. It may say false of files that have no alias either.
func (f shortNameFiles) onlyAlias(repo, full string) bool {
	for _, file := range f {
		for line := range bytes.Lines(file.data) {
			line = bytes.TrimSpace(line)
			switch {
			case bytes.HasPrefix(line, []byte("#")):
			case bytes.ContainsAny(line, "\\'"), bytes.Contains(line, []byte(`"""`)):
				return false // a name may be spelled otherwise, or stand on lines of its own
			case bytes.Contains(line, []byte(repo)) && !bytes.Contains(line, []byte(`"`+full+`"`)):
				return false
			}
		}
	}
	return true
}

// parse merges the files.
func (f shortNameFiles) parse() (shortNameConfig, error) {
	all := shortNameConfig{Aliases: map[string]string{}}
	for _, file := range f {
		var one shortNameConfig
		if err := toml.Unmarshal(file.data, &one); err != nil {
			return all, fmt.Errorf("%w %q: %w; mend it or move it away", ErrConfig, file.path, err)
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

// shortNamePaths are the files of registries.conf(5), the ones that count most last.
func shortNamePaths() []string {
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
	if alias, ok := c.Aliases[repo]; ok {
		if n, err := parse(alias); err == nil {
			out = append(out, n.repo)
		}
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
