package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func processFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "keep standard input open"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the container a terminal"},
		stringList("env", "e", "set a variable, as `NAME=VALUE`; NAME alone takes the value it has here"),
		stringList("env-file", "", "read variables from `FILE`, one a line"),
		&cli.BoolFlag{Name: "env-host", Usage: "all variables that proa has, before those of --env and --env-file"},
		stringList("unsetenv", "", "leave out the image's variable `NAME`"),
		&cli.BoolFlag{Name: "unsetenv-all", Usage: "leave out all variables of the image"},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "working `DIRECTORY` of the command"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER[:GROUP]`, names of the image or numbers"},
		stringList("group-add", "", "add a supplementary `GROUP`, a name of the image or a number"),
		&cli.StringFlag{Name: "entrypoint", Usage: "`COMMAND` in place of the image's entrypoint"},
		&cli.BoolFlag{Name: "init", Usage: "run an init that passes on signals and reaps processes"},
		stringList("ulimit", "", "set a limit, as `NAME=SOFT[:HARD]`"),
		stringList("sysctl", "", "set a kernel parameter of the container's namespaces, as `KEY=VALUE`"),
		&cli.IntFlag{Name: "oom-score-adj", Usage: "`NUMBER` from -1000 to 1000: how soon the kernel kills the container when memory is short"},
	}
}

func parseProcess(c *cli.Context, p *spec.Process) (err error) {
	p.Terminal, p.Init, p.Groups = c.Bool("tty"), c.Bool("init"), c.StringSlice("group-add")
	if p.Env, err = parseEnv(c.StringSlice("env-file"), c.StringSlice("env")); err != nil {
		return err
	}
	if c.Bool("env-host") {
		p.Env = append(hostEnv(), p.Env...)
	}
	p.Unset, p.UnsetAll = c.StringSlice("unsetenv"), c.Bool("unsetenv-all")
	for _, name := range p.Unset {
		if name == "" || strings.Contains(name, "=") {
			return fmt.Errorf("invalid --unsetenv %q: the name of a variable", name)
		}
	}
	if p.Cwd = c.String("workdir"); p.Cwd != "" {
		if !path.IsAbs(p.Cwd) {
			return fmt.Errorf("invalid --workdir %q: it must be an absolute path", p.Cwd)
		}
		p.Cwd = path.Clean(p.Cwd)
	}
	if p.User = c.String("user"); c.IsSet("user") {
		if err := checkUser(p.User); err != nil {
			return err
		}
	}
	for _, g := range p.Groups {
		if !validID(g) {
			return fmt.Errorf("invalid --group-add %q: a group of the image, or a number from 0 to %d", g, maxID)
		}
	}
	if c.IsSet("entrypoint") {
		if p.Entrypoint, err = parseEntrypoint(c.String("entrypoint")); err != nil {
			return err
		}
	}
	for _, s := range c.StringSlice("ulimit") {
		u, err := units.ParseUlimit(s)
		if err != nil {
			return fmt.Errorf("invalid --ulimit %q: want NAME=SOFT[:HARD], as nofile=1024:4096, -1 for no limit (%w)", s, err)
		}
		p.Rlimits = append(p.Rlimits, spec.Rlimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, s := range c.StringSlice("sysctl") {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return fmt.Errorf("invalid --sysctl %q: want KEY=VALUE", s)
		}
		put(&p.Sysctls, strings.ReplaceAll(k, "/", "."), v)
	}
	if c.IsSet("oom-score-adj") {
		n := c.Int("oom-score-adj")
		if n < -1000 || n > 1000 {
			return fmt.Errorf("invalid --oom-score-adj %d: a number from -1000 to 1000", n)
		}
		p.OOMScore = &n
	}
	return nil
}

// hostEnv is the environment of proa's caller.
func hostEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "=") })
}

// parseEntrypoint takes a JSON array, as Podman does, or one command, as Docker does.
func parseEntrypoint(s string) ([]string, error) {
	if !strings.HasPrefix(s, "[") {
		return []string{s}, nil
	}
	words := []string{}
	if err := json.Unmarshal([]byte(s), &words); err != nil {
		return nil, fmt.Errorf("invalid --entrypoint %q: it is not a JSON array of strings: %w", s, err)
	}
	return words, nil
}

// parseEnv is the environment that files and list give, the list's last.
func parseEnv(files, list []string) ([]string, error) {
	var out []string
	for _, file := range files {
		lines, err := readLines("--env-file", file)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			name, _, ok := strings.Cut(l, "=")
			if name == "" || strings.ContainsAny(name, " \t") {
				return nil, fmt.Errorf("invalid line %q in --env-file %q: want NAME=VALUE, the name without spaces", l, file)
			}
			if value, set := os.LookupEnv(name); ok {
				out = append(out, l)
			} else if set {
				out = append(out, name+"="+value)
			}
		}
	}
	for _, e := range list {
		name, _, ok := strings.Cut(e, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid environment variable %q in -e: want NAME=VALUE or NAME", e)
		}
		if !ok {
			if value, set := os.LookupEnv(name); set {
				e += "=" + value
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// readLines returns the lines of a file but the empty ones and those that begin with #.
func readLines(flag, file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", flag, err)
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, fmt.Errorf("%s %q: it has a zero byte, which no text has", flag, file)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("reading %s: %q is not text in UTF-8", flag, file)
	}
	var out []string
	for l := range bytes.Lines(bytes.TrimPrefix(b, []byte("\ufeff"))) {
		s := strings.TrimLeft(strings.TrimRight(string(l), "\r\n"), " \t")
		if s != "" && s[0] != '#' {
			out = append(out, s)
		}
	}
	return out, nil
}

// maxID is the highest uid or gid that the look-up in the image takes.
const maxID = 1<<31 - 1

func checkUser(s string) error {
	name, group, grouped := strings.Cut(s, ":")
	if !validID(name) || grouped && !validID(group) {
		return fmt.Errorf("invalid --user %q: want USER[:GROUP], names of the image or numbers from 0 to %d", s, maxID)
	}
	return nil
}

// validID tells whether s can be the name or number of a user or group.
func validID(s string) bool {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return err == nil && n >= 0 && n <= maxID
	}
	return s != "" && !strings.ContainsAny(s, ":\n")
}
