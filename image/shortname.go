package image

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/proa-containers/proa/storage"
)

// shortNameConfig is the part of registries.conf(5) that says what a name without a registry means.
type shortNameConfig struct {
	Search  []string          `toml:"unqualified-search-registries"`
	Aliases map[string]string `toml:"aliases"`
}

// shortNameFiles are the files of registries.conf(5), the ones that count most last.
type shortNameFiles []storage.ConfigFile

func readShortNames() (shortNameFiles, error) {
	files, err := storage.RegistriesFiles()
	if err != nil {
		return nil, fmt.Errorf("%w: registries.conf: %w; make it readable or move it away", ErrConfig, err)
	}
	return files, nil
}

// onlyAlias tells, without the time that parsing takes, that repo has no alias but perhaps full: no line that has the one
// lacks the other. It may say false of files that have no alias either.
func (f shortNameFiles) onlyAlias(repo, full string) bool {
	for _, file := range f {
		for line := range bytes.Lines(file.Data) {
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
		if err := toml.Unmarshal(file.Data, &one); err != nil {
			return all, fmt.Errorf("%w %q: %w; mend it or move it away", ErrConfig, file.Path, err)
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
