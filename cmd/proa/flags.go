package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

// createFlags are the options that make a container, in the sections of oci/spec.
func createFlags() []cli.Flag {
	return slices.Concat(processFlags(), namespaceFlags(), securityFlags(), mountFlags(), resourceFlags(), containerFlags())
}

// parseCreate turns the options and arguments into a container: the image's name, or with --rootfs its directory, and
// the command.
func parseCreate(c *cli.Context) (*libpod.Container, error) {
	if c.NArg() == 0 {
		return nil, fmt.Errorf("%s takes an image and perhaps a command: proa %s [OPTIONS] IMAGE [COMMAND...]", c.Command.Name, c.Command.Name)
	}
	ctr := &libpod.Container{Image: c.Args().First()}
	ctr.Config.Process.Cmd = c.Args().Tail()
	for _, parse := range []func(*cli.Context, *libpod.Container) error{
		parseContainer, parseProcess, parseNamespaces, parseSecurity, parseMounts, parseResources,
	} {
		if err := parse(c, ctr); err != nil {
			return nil, err
		}
	}
	return ctr, nil
}

func containerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the container (default: a random one)"},
		&cli.BoolFlag{Name: "rm", Usage: "remove the container when it ends"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "keep standard input open"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the container a terminal"},
		&cli.StringFlag{Name: "pull", Value: "missing", Usage: "when to pull the image: `always`, missing or never"},
		&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH` of the image to pull"},
		&cli.StringFlag{Name: "cidfile", Usage: "write the container's id to `FILE`, which must not exist"},
		&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "`KEY=VALUE`"},
		&cli.StringSliceFlag{Name: "annotation", Usage: "`KEY=VALUE` for the runtime"},
		&cli.StringFlag{Name: "stop-signal", Usage: "`SIGNAL` that stop sends (default: the image's, else SIGTERM)"},
		&cli.IntFlag{Name: "stop-timeout", Usage: "`SECONDS` after which stop kills (default 10)"},
		&cli.BoolFlag{Name: "rootfs", Usage: "the argument is a directory to use as root instead of an image; DIR:O keeps it unchanged"},
		&cli.StringFlag{Name: "log-driver", Usage: "`DRIVER` of the log: k8s-file, json-file, passthrough or none (default k8s-file)"},
		&cli.StringSliceFlag{Name: "log-opt", Usage: "max-size=`BYTES` or max-file=NUMBER"},
		&cli.StringSliceFlag{Name: "publish", Aliases: []string{"p"}, Usage: "publish a port (not yet: see the README)"},
		&cli.BoolFlag{Name: "publish-all", Aliases: []string{"P"}, Usage: "publish all ports (not yet: see the README)"},
	}
}

func parseContainer(c *cli.Context, ctr *libpod.Container) error {
	if c.IsSet("publish") || c.Bool("publish-all") {
		return errors.New("publishing ports needs networks, which this proa does not have yet; --network host shares the host's ports")
	}
	ctr.Name, ctr.AutoRemove = c.String("name"), c.Bool("rm")
	ctr.Stdin, ctr.Terminal = c.Bool("interactive"), c.Bool("tty")
	ctr.Config.Process.Terminal = ctr.Terminal
	ctr.StopSignal, ctr.StopTimeout = c.String("stop-signal"), c.Int("stop-timeout")
	if ctr.StopSignal != "" {
		if _, err := libpod.Signal(ctr.StopSignal); err != nil {
			return err
		}
	}
	var err error
	if ctr.Labels, err = keyValues("label", c.StringSlice("label")); err != nil {
		return err
	}
	if ctr.Annotations, err = keyValues("annotation", c.StringSlice("annotation")); err != nil {
		return err
	}
	if c.Bool("rootfs") {
		dir, copied := strings.CutSuffix(ctr.Image, ":O")
		if ctr.Rootfs, err = filepath.Abs(dir); err != nil {
			return err
		}
		if st, err := os.Stat(ctr.Rootfs); err != nil || !st.IsDir() {
			return fmt.Errorf("invalid --rootfs %q: there is no such directory", dir)
		}
		ctr.RootfsCopy = copied
	}
	switch p := c.String("pull"); p {
	case "always", "missing", "never":
	default:
		return fmt.Errorf("invalid --pull %q: always, missing or never", p)
	}
	ctr.Log, err = parseLog(c.String("log-driver"), c.StringSlice("log-opt"))
	return err
}

func parseLog(driver string, opts []string) (monitor.Log, error) {
	l := monitor.Log{Driver: driver, MaxFiles: 1}
	switch driver {
	case "", "k8s-file", "json-file", "passthrough", "none":
	default:
		return l, fmt.Errorf("invalid --log-driver %q: k8s-file, json-file, passthrough or none", driver)
	}
	for _, o := range opts {
		key, value, _ := strings.Cut(o, "=")
		var err error
		switch key {
		case "max-size":
			l.MaxSize, err = units.RAMInBytes(value)
		case "max-file":
			l.MaxFiles, err = strconv.Atoi(value)
		case "path":
			l.Path, err = filepath.Abs(value)
		default:
			err = errors.New("max-size, max-file or path")
		}
		if err != nil {
			return l, fmt.Errorf("invalid --log-opt %q: %w", o, err)
		}
	}
	return l, nil
}

func keyValues(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, l := range list {
		k, v, _ := strings.Cut(l, "=")
		if k == "" {
			return nil, fmt.Errorf("invalid --%s %q: KEY=VALUE", flag, l)
		}
		out[k] = v
	}
	return out, nil
}

func processFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "`KEY=VALUE`, or KEY to take it from proa's environment"},
		&cli.StringSliceFlag{Name: "env-file", Usage: "read the environment from `FILE`"},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "working `DIRECTORY` in the container"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`NAME|UID[:GROUP|GID]`, as the container knows them"},
		&cli.StringSliceFlag{Name: "group-add", Usage: "further `GROUP` of the process"},
		&cli.StringFlag{Name: "entrypoint", Usage: "`COMMAND`, or a JSON array, in place of the image's"},
		&cli.BoolFlag{Name: "init", Usage: "run a process 1 that reaps and forwards signals"},
		&cli.StringSliceFlag{Name: "ulimit", Usage: "`NAME=SOFT[:HARD]`"},
		&cli.StringSliceFlag{Name: "sysctl", Usage: "`KEY=VALUE`"},
		&cli.IntFlag{Name: "oom-score-adj", Usage: "`-1000..1000`"},
	}
}

func parseProcess(c *cli.Context, ctr *libpod.Container) (err error) {
	p := &ctr.Config.Process
	p.Cwd, p.User, p.Groups, p.Init = c.String("workdir"), c.String("user"), c.StringSlice("group-add"), c.Bool("init")
	if p.Env, err = parseEnv(c.StringSlice("env-file"), c.StringSlice("env")); err != nil {
		return err
	}
	if c.IsSet("entrypoint") {
		if p.Entrypoint, err = parseEntrypoint(c.String("entrypoint")); err != nil {
			return err
		}
	}
	for _, u := range c.StringSlice("ulimit") {
		l, err := units.ParseUlimit(u)
		if err != nil {
			return fmt.Errorf("invalid --ulimit %q: NAME=SOFT[:HARD] with a name as nofile (%w)", u, err)
		}
		p.Rlimits = append(p.Rlimits, spec.Rlimit{Name: l.Name, Soft: l.Soft, Hard: l.Hard})
	}
	if c.IsSet("oom-score-adj") {
		n := c.Int("oom-score-adj")
		if n < -1000 || n > 1000 {
			return fmt.Errorf("invalid --oom-score-adj %d: from -1000 to 1000", n)
		}
		p.OOMScore = &n
	}
	p.Sysctls, err = keyValues("sysctl", c.StringSlice("sysctl"))
	return err
}

// parseEntrypoint takes a JSON array, as Podman does, or one command, as Docker does.
func parseEntrypoint(s string) ([]string, error) {
	if !strings.HasPrefix(s, "[") {
		return []string{s}, nil
	}
	words, err := jsonStrings(s)
	if err != nil {
		return nil, fmt.Errorf("invalid --entrypoint %q: not a JSON array of strings: %w", s, err)
	}
	return words, nil
}

func parseEnv(files, list []string) ([]string, error) {
	var out []string
	for _, name := range files {
		lines, err := readEnvFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	for _, e := range list {
		key, _, set := strings.Cut(e, "=")
		if key == "" || strings.ContainsRune(e, 0) {
			return nil, fmt.Errorf("invalid environment variable %q: KEY=VALUE, or KEY alone", e)
		}
		if !set {
			value, ok := os.LookupEnv(key)
			if !ok {
				continue
			}
			e = key + "=" + value
		}
		out = append(out, e)
	}
	return out, nil
}

func readEnvFile(name string) (out []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading --env-file: %w", err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimLeft(sc.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, set := strings.Cut(line, "=")
		if key == "" || strings.ContainsAny(key, " \t") {
			return nil, fmt.Errorf("reading --env-file %s: line %d: invalid environment variable %q: no spaces in its name", name, n, key)
		}
		if set {
			out = append(out, line)
		} else if v, ok := os.LookupEnv(key); ok {
			out = append(out, key+"="+v)
		}
	}
	return out, sc.Err()
}
