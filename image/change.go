package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/signal"
)

// ErrChange: an instruction can't be carried out.
var ErrChange = errors.New("invalid change")

// Change carries out Dockerfile instructions that change a configuration: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK,
// LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR. As in a Dockerfile, a new entrypoint drops a command
// that no instruction sets. On an error, which is ErrChange, c is changed in part.
func (c *Config) Change(instructions []string) error {
	cmd := false
	for _, line := range instructions {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, word = strings.TrimSpace(rest), strings.ToUpper(word)
		if rest == "" {
			return fmt.Errorf("%w %q: an instruction and its arguments are wanted, as in CMD [\"/bin/sh\"]", ErrChange, line)
		}
		if err := c.change(word, rest); err != nil {
			return fmt.Errorf("%w %q: %w", ErrChange, line, err)
		}
		cmd = cmd || word == "CMD"
		if word == "ENTRYPOINT" && !cmd {
			c.Cmd = nil
		}
	}
	return nil
}

func (c *Config) change(word, rest string) error {
	switch word {
	case "CMD":
		c.Cmd = c.command(rest)
		return nil
	case "ENTRYPOINT":
		c.Entrypoint = c.command(rest)
		return nil
	case "HEALTHCHECK":
		return c.healthcheck(rest)
	case "ONBUILD":
		return c.onBuild(rest)
	case "SHELL":
		if !list(rest, &c.Shell) || len(c.Shell) == 0 {
			return errors.New(`a list is wanted, as ["/bin/sh", "-c"]`)
		}
		return nil
	case "ENV", "LABEL":
		return c.pairs(word, rest)
	case "VOLUME":
		return c.volumes(rest)
	}
	words, err := splitWords(rest, c.lookup)
	if err != nil {
		return err
	}
	if word == "EXPOSE" {
		return c.expose(words)
	}
	if len(words) != 1 {
		return fmt.Errorf("%s takes one argument, not %d", word, len(words))
	}
	switch arg := words[0]; word {
	case "STOPSIGNAL":
		if _, err := signal.ParseSignal(arg); err != nil {
			return fmt.Errorf("there is no signal %q", arg)
		}
		c.StopSignal = arg
	case "USER":
		c.User = arg
	case "WORKDIR":
		if !path.IsAbs(arg) {
			arg = path.Join("/", c.WorkingDir, arg)
		}
		c.WorkingDir = path.Clean(arg)
	default:
		return errors.New("the instruction is one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR")
	}
	return nil
}

// list reads the JSON form of arguments.
func list(s string, out *[]string) bool {
	var l []string
	if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &l) != nil {
		return false
	}
	*out = l
	return true
}

// command is a command line in its JSON form, or for a shell.
func (c *Config) command(s string) []string {
	var l []string
	if list(s, &l) {
		return l
	}
	shell := c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), s)
}

// lookup is the value of a variable of the configuration's environment.
func (c *Config) lookup(name string) (string, bool) {
	for _, e := range slices.Backward(c.Env) {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// pairs sets variables or labels: KEY=VALUE..., or the old form KEY VALUE.
func (c *Config) pairs(word, rest string) error {
	first, _, _ := strings.Cut(rest, " ")
	var words []string
	if !strings.Contains(first, "=") {
		key, value, ok := strings.Cut(rest, " ")
		if !ok {
			return errors.New("KEY=VALUE is wanted")
		}
		value, err := expand(strings.TrimSpace(value), c.lookup)
		if err != nil {
			return err
		}
		words = []string{key + "=" + value}
	} else {
		var err error
		if words, err = splitWords(rest, c.lookup); err != nil {
			return err
		}
	}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return fmt.Errorf("KEY=VALUE is wanted, not %q", w)
		}
		if word == "LABEL" {
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[key] = value
			continue
		}
		if i := slices.IndexFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, key+"=") }); i >= 0 {
			c.Env[i] = w
		} else {
			c.Env = append(c.Env, w)
		}
	}
	return nil
}

func (c *Config) volumes(rest string) error {
	var words []string
	if !list(rest, &words) {
		var err error
		if words, err = splitWords(rest, c.lookup); err != nil {
			return err
		}
	}
	if c.Volumes == nil {
		c.Volumes = map[string]struct{}{}
	}
	for _, w := range words {
		if w = strings.TrimSpace(w); w == "" {
			return errors.New("a volume's path is empty")
		}
		c.Volumes[w] = struct{}{}
	}
	return nil
}

func (c *Config) expose(words []string) error {
	if c.ExposedPorts == nil {
		c.ExposedPorts = map[string]struct{}{}
	}
	for _, w := range words {
		ports, protocol, ok := strings.Cut(strings.ToLower(w), "/")
		if !ok {
			protocol = "tcp"
		}
		from, to, span := strings.Cut(ports, "-")
		if !span {
			to = from
		}
		low, err := strconv.ParseUint(from, 10, 16)
		high, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil || low == 0 || high < low || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
			return fmt.Errorf("invalid port %q: PORT[-PORT][/tcp|udp|sctp]", w)
		}
		for p := low; p <= high; p++ {
			c.ExposedPorts[fmt.Sprintf("%d/%s", p, protocol)] = struct{}{}
		}
	}
	return nil
}

func (c *Config) onBuild(rest string) error {
	word, _, _ := strings.Cut(rest, " ")
	switch strings.ToUpper(word) {
	case "ONBUILD", "FROM", "MAINTAINER":
		return fmt.Errorf("ONBUILD can't be followed by %s", strings.ToUpper(word))
	}
	c.OnBuild = append(c.OnBuild, rest)
	return nil
}

func (c *Config) healthcheck(rest string) error {
	h := &Healthcheck{}
	for strings.HasPrefix(rest, "--") {
		flag, more, _ := strings.Cut(rest, " ")
		rest = strings.TrimSpace(more)
		name, value, _ := strings.Cut(flag[2:], "=")
		if name == "retries" {
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return fmt.Errorf("invalid --retries %q: a number", value)
			}
			h.Retries = n
			continue
		}
		to := map[string]*time.Duration{"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval}[name]
		if to == nil {
			return fmt.Errorf("there is no flag --%s: --interval, --timeout, --start-period, --start-interval or --retries", name)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d != 0 && d < time.Millisecond {
			return fmt.Errorf("invalid --%s %q: a duration as 30s, at least 1ms", name, value)
		}
		*to = d
	}
	kind, args, _ := strings.Cut(rest, " ")
	args = strings.TrimSpace(args)
	switch strings.ToUpper(kind) {
	case "NONE":
		if args != "" || h.Interval+h.Timeout+h.StartPeriod+h.StartInterval != 0 || h.Retries != 0 {
			return errors.New("NONE takes neither flags nor arguments")
		}
		h.Test = []string{"NONE"}
	case "CMD":
		var l []string
		switch {
		case list(args, &l) && len(l) > 0:
			h.Test = append([]string{"CMD"}, l...)
		case args != "" && l == nil:
			h.Test = []string{"CMD-SHELL", args}
		default:
			return errors.New("CMD lacks the command")
		}
	default:
		return errors.New("NONE or CMD and a command is wanted")
	}
	c.Healthcheck = h
	return nil
}
