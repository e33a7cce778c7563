package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/proa-containers/proa/oci/seccomp"
)

// configs reads the files that proa shares with other engines, as far as they exist.
func (h Host) configs() []Check {
	isTOML := func(b []byte) error { return toml.Unmarshal(b, &map[string]any{}) }
	isJSON := func(b []byte) error { return json.Unmarshal(b, &map[string]any{}) }
	return []Check{
		h.config("storage.conf", "where images are kept", isTOML, h.Getenv("CONTAINERS_STORAGE_CONF"), "/usr/share/containers/storage.conf"),
		h.config("registries.conf", "short names, mirrors and insecure registries", isTOML, h.Getenv("CONTAINERS_REGISTRIES_CONF"), ""),
		h.config("policy.json", "which images are accepted", isJSON, "", ""),
		h.seccomp(),
	}
}

// seccomp reads the default profiles, of which the administrator's counts.
func (h Host) seccomp() Check {
	c := Check{Name: "seccomp profile", Needed: "the system calls that containers may make"}
	for _, file := range []string{"/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"} {
		b, err := os.ReadFile(h.path(file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = seccomp.Parse(b, nil)
		}
		if err != nil {
			return c.fail(Missing, file+": "+err.Error(), "sudo mv "+file+" "+file+".bad, which leaves the built-in profile")
		}
		return c.pass(file)
	}
	return c.pass("built in")
}

// config parses every file of that name that is read for this user.
func (h Host) config(name, needed string, parse func([]byte) error, override, vendor string) Check {
	c := Check{Name: name, Needed: needed}
	dir := h.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(h.Home, ".config")
	}
	files := []string{vendor, "/etc/containers/" + name, filepath.Join(dir, "containers", name)}
	if override != "" {
		files = []string{override}
	}
	var found []string
	for _, file := range files {
		if file == "" {
			continue
		}
		b, err := os.ReadFile(h.path(file))
		if errors.Is(err, fs.ErrNotExist) && file != override {
			continue
		}
		if err == nil {
			err = parse(b)
		}
		if err != nil {
			return c.fail(Missing, file+": "+strings.ReplaceAll(err.Error(), "\n", " "), "mend the file, or move it away: mv "+file+" "+file+".bad")
		}
		found = append(found, file)
	}
	if len(found) == 0 {
		return c.pass("none: the defaults hold")
	}
	return c.pass(strings.Join(found, ", "))
}
