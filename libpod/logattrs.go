package libpod

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/proa-containers/proa/oci/monitor"
)

// LogDrivers are the log drivers, the default first.
func LogDrivers() []string {
	return []string{"k8s-file", "json-file", "journald", "passthrough", "none"}
}

// journalSocket is where systemd-journald takes entries.
const journalSocket = "/run/systemd/journal/socket"

// logTag is what a tag template may name, in Docker's words.
type logTag struct{ ID, FullID, Name, ImageID, ImageFullID, ImageName, Command, DaemonName string }

// CheckLog tells whether c's log can be kept, before anything is made for it.
func CheckLog(c *Container) error {
	if c.Log.Driver == "journald" {
		if _, err := os.Stat(journalSocket); err != nil {
			return fmt.Errorf("--log-driver journald: no systemd-journald runs here, %s is not there; use k8s-file or json-file", journalSocket)
		}
	}
	if len(c.Log.Options) == 0 {
		return nil
	}
	t, err := template.New("tag").Parse(c.Log.Options["tag"])
	if err == nil {
		err = t.Execute(io.Discard, logTag{})
	}
	if err != nil {
		return fmt.Errorf("invalid --log-opt tag: %w", err)
	}
	for _, key := range []string{"labels-regex", "env-regex"} {
		if _, err := regexp.Compile(c.Log.Options[key]); err != nil {
			return fmt.Errorf("invalid --log-opt %s: %w", key, err)
		}
	}
	return nil
}

// monitorLog is c's log as its monitor keeps it.
func monitorLog(c *Container) (monitor.Log, error) {
	l := c.Log
	l.Options = nil
	if l.Driver != "journald" && len(c.Log.Options) == 0 {
		return l, nil
	}
	tag, err := c.logTag()
	if err != nil {
		return l, err
	}
	switch l.Driver {
	case "journald":
		l.Path = journalSocket
		l.Attrs = map[string]string{
			"CONTAINER_ID": c.ID[:12], "CONTAINER_ID_FULL": c.ID, "CONTAINER_NAME": c.Name, "CONTAINER_TAG": tag,
			"SYSLOG_IDENTIFIER": tag, "IMAGE_NAME": c.Image,
		}
		for k, v := range c.logDetails() {
			if name := journalField(k); name != "" {
				l.Attrs[name] = v
			}
		}
	case "json-file":
		l.Attrs = c.logDetails()
		if c.Log.Options["tag"] != "" {
			l.Attrs["tag"] = tag
		}
	}
	return l, nil
}

func (c *Container) logTag() (string, error) {
	text := c.Log.Options["tag"]
	if text == "" {
		return c.ID[:12], nil
	}
	t, err := template.New("tag").Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading the log's tag: %w", err)
	}
	var b strings.Builder
	err = t.Execute(&b, logTag{
		ID: c.ID[:12], FullID: c.ID, Name: c.Name, ImageID: c.ImageID[:min(12, len(c.ImageID))], ImageFullID: c.ImageID, ImageName: c.Image,
		Command: strings.Join(c.Config.Process.Args, " "), DaemonName: "proa",
	})
	if err != nil {
		return "", fmt.Errorf("making the log's tag: %w", err)
	}
	return b.String(), nil
}

// logDetails are the labels and variables that the log's options choose.
func (c *Container) logDetails() map[string]string {
	out := map[string]string{}
	choose := func(key string) func(string) bool {
		names := strings.Split(c.Log.Options[key], ",")
		re, err := regexp.Compile(c.Log.Options[key+"-regex"])
		match := err == nil && c.Log.Options[key+"-regex"] != ""
		return func(name string) bool { return slices.Contains(names, name) || match && re.MatchString(name) }
	}
	label, env := choose("labels"), choose("env")
	for k, v := range c.Labels {
		if label(k) {
			out[k] = v
		}
	}
	for _, kv := range c.Config.Process.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && env(k) {
			out[k] = v
		}
	}
	return out
}

// journalField makes a name that the journal takes: capital letters, digits and underscores, no digit or underscore
// first, 64 bytes at most; "" when nothing is left.
func journalField(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
	name = strings.TrimLeft(name, "_0123456789")
	return name[:min(len(name), 64)]
}
