package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/proa-containers/proa/oci/seccomp"
)

// configs reads the files that proa shares with other engines, as far as they exist.
func (h Host) configs() []Check {
	return []Check{
		h.config("storage.conf", "where images are kept", checkStorage, h.files("storage.conf", "CONTAINERS_STORAGE_CONF")),
		h.storageDriver(),
		h.config("registries.conf", "short names, mirrors and insecure registries", checkRegistries, h.files("registries.conf", "CONTAINERS_REGISTRIES_CONF")),
		h.config("policy.json", "which images are accepted", checkPolicy, h.files("policy.json", "CONTAINERS_POLICY_JSON")),
		h.seccomp(),
	}
}

// files are those of a name that are read for this user, the ones that count most last: the one that the variable env
// names, or the first of the user's, the administrator's and the distribution's, and then the drop-in files of all.
func (h Host) files(name, env string) []string {
	if file := h.Getenv(env); file != "" {
		return []string{file}
	}
	config := h.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(h.Home, ".config")
	}
	dirs := []string{"/usr/share/containers/", "/etc/containers/", config + "/containers/"}
	var files []string
	for _, dir := range dirs {
		if h.exists(dir + name) {
			files = []string{dir + name}
		}
	}
	for _, dir := range dirs {
		list, _ := os.ReadDir(h.path(dir + name + ".d"))
		for _, f := range list {
			if filepath.Ext(f.Name()) == filepath.Ext(name) {
				files = append(files, dir+name+".d/"+f.Name())
			}
		}
	}
	return files
}

// config checks each of the files.
func (h Host) config(name, needed string, check func([]byte) error, files []string) Check {
	c := Check{Name: name, Needed: needed}
	var found []string
	for _, file := range files {
		b, err := os.ReadFile(h.path(file))
		if err == nil {
			err = check(b)
		}
		if err != nil {
			return c.fail(Missing, file+": "+strings.ReplaceAll(err.Error(), "\n", " "), h.edit(file))
		}
		found = append(found, file)
	}
	if len(found) == 0 {
		return c.pass("none: the defaults hold")
	}
	return c.pass(strings.Join(found, ", "))
}

// edit is the command for a file that only its owner can judge.
func (h Host) edit(file string) string {
	command := "${EDITOR:-vi} " + file
	if strings.HasPrefix(file, "/etc/") || strings.HasPrefix(file, "/usr/") {
		return h.sudo(command)
	}
	return command
}

func checkStorage(b []byte) error {
	var conf storageConf
	if err := toml.Unmarshal(b, &conf); err != nil {
		return err
	}
	if d := conf.Storage.Driver; d != "" && d != "overlay" {
		return fmt.Errorf("driver is %q, and proa has only overlay: set driver = \"overlay\"", d)
	}
	return nil
}

// storageDriver is asked by the storage library before any file.
func (h Host) storageDriver() Check {
	c := Check{Name: "STORAGE_DRIVER", Needed: "a storage driver that proa has"}
	switch d := h.Getenv("STORAGE_DRIVER"); d {
	case "":
		return c.pass("not set")
	case "overlay":
		return c.pass(d)
	default:
		return c.fail(Missing, d+", and proa has only overlay", "unset STORAGE_DRIVER")
	}
}

func checkRegistries(b []byte) error {
	var conf struct {
		Search   []string `toml:"unqualified-search-registries"`
		Mode     string   `toml:"short-name-mode"`
		Registry []struct {
			Location, Prefix string
			Mirror           []struct{ Location string }
		} `toml:"registry"`
		Registries map[string]any    `toml:"registries"`
		Aliases    map[string]string `toml:"aliases"`
	}
	if err := toml.Unmarshal(b, &conf); err != nil {
		return err
	}
	if conf.Registries != nil {
		return errors.New("[registries.*] is the old form, which is no longer read: list the registries in unqualified-search-registries and [[registry]]")
	}
	if !slices.Contains([]string{"", "enforcing", "permissive", "disabled"}, conf.Mode) {
		return fmt.Errorf("short-name-mode is %q, and not enforcing, permissive or disabled", conf.Mode)
	}
	for _, r := range conf.Registry {
		if r.Location == "" && r.Prefix == "" {
			return errors.New("a [[registry]] has neither prefix nor location")
		}
		for _, m := range r.Mirror {
			if m.Location == "" {
				return fmt.Errorf("a [[registry.mirror]] of %q has no location", r.Prefix+r.Location)
			}
		}
	}
	return nil
}

func checkPolicy(b []byte) error {
	var policy struct {
		Default []struct {
			Type string `json:"type"`
		} `json:"default"`
	}
	if err := json.Unmarshal(b, &policy); err != nil {
		return err
	}
	if len(policy.Default) == 0 {
		return errors.New(`it has no "default"`)
	}
	return nil
}

// seccomp reads the default profiles, of which the administrator's counts, and asks the kernel for the mechanism.
func (h Host) seccomp() Check {
	c := Check{Name: "seccomp profile", Needed: "the system calls that containers may make"}
	if !strings.Contains(h.read("/proc/self/status"), "\nSeccomp:") {
		return c.fail(Missing, "this kernel has no seccomp (CONFIG_SECCOMP_FILTER)", h.install(newKernel)+" && "+h.sudo("reboot"))
	}
	for _, file := range []string{"/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"} {
		b, err := os.ReadFile(h.path(file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = seccomp.Parse(b, nil)
		}
		if err != nil {
			return c.fail(Missing, file+": "+err.Error(), h.sudo("mv "+file+" "+file+".bad")+" # leaves the next profile or the built-in one")
		}
		return c.pass(file)
	}
	return c.pass("built in")
}
