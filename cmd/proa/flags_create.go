package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

// createRequest is a parsed command line of create or run.
type createRequest struct {
	ctr        *libpod.Container // as Engine.Create takes it
	image      string            // empty with --rootfs
	pull       string            // missing, always or never
	quiet      bool
	cidFile    string
	detach     bool
	attach     []string // of stdin, stdout and stderr; empty: the default
	sigProxy   bool
	detachKeys []byte
}

// createFlags are the flags that create and run share.
func createFlags() []cli.Flag {
	return slices.Concat(containerFlags(), processFlags(), namespaceFlags(), securityFlags(), mountFlags(), resourceFlags(), networkFlags())
}

// runFlags are those of run alone.
func runFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "run in the background and print the container's id"},
		&cli.StringFlag{Name: "detach-keys", Value: "ctrl-p,ctrl-q", Usage: "`KEYS` that leave the container running, as ctrl-p,ctrl-q"},
		&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "pass signals on to the container"},
	}
}

func containerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the container"},
		&cli.BoolFlag{Name: "rm", Usage: "remove the container when it ends"},
		stringList("attach", "a", "attach to `STREAM`: stdin, stdout or stderr"),
		&cli.StringFlag{Name: "pull", Value: "missing", Usage: "`WHEN` to pull the image: missing, always or never"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "do not show the progress of a pull"},
		&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH[/VARIANT]` of the image"},
		&cli.StringFlag{Name: "cidfile", Usage: "write the container's id to a new `FILE`"},
		stringList("label", "l", "set a label, as `KEY=VALUE`"),
		stringList("label-file", "", "read labels from `FILE`, one a line"),
		stringList("annotation", "", "set an annotation of the OCI runtime, as `KEY=VALUE`"),
		&cli.StringFlag{Name: "stop-signal", Usage: "`SIGNAL` that asks the container to end (default: the image's, else SIGTERM)"},
		&cli.IntFlag{Name: "stop-timeout", Usage: "`SECONDS` from the stop signal to the kill, -1 for ever (default: 10)"},
		&cli.BoolFlag{Name: "rootfs", Usage: "the first argument is a directory, not an image; with :O behind it changes are not written there"},
		&cli.StringFlag{Name: "runtime", Usage: "OCI `RUNTIME` in place of the built-in one: crun, runc or a path"},
		&cli.StringFlag{Name: "log-driver", Value: "k8s-file", Usage: "`DRIVER` of the log: k8s-file, json-file, passthrough or none"},
		stringList("log-opt", "", "option of the log: path=, max-size=, max-file= (`KEY=VALUE`)"),
	}
}

// stringList is a flag that may be given several times; every value is taken as it is, commas included.
func stringList(name, short, usage string) *cli.StringSliceFlag {
	f := &cli.StringSliceFlag{Name: name, Usage: usage, KeepSpace: true}
	if short != "" {
		f.Aliases = []string{short}
	}
	return f
}

// parseCreate reads and checks the whole command line of create or run.
func parseCreate(c *cli.Context) (*createRequest, error) {
	r := &createRequest{ctr: &libpod.Container{}, quiet: c.Bool("quiet"), detach: c.Bool("detach"), sigProxy: c.Bool("sig-proxy")}
	cfg := &r.ctr.Config
	for _, parse := range []func() error{
		func() error { return refuseNetworking(c) },
		func() error { return parseContainer(c, r) },
		func() error { return parseLog(c, r.ctr) },
		func() error { return parseProcess(c, &cfg.Process) },
		func() error { return parseNamespaces(c, &cfg.Namespaces) },
		func() error { return parseSecurity(c, &cfg.Security) },
		func() error { return parseMounts(c, &cfg.Mounts) },
		func() error { return parseResources(c, &cfg.Resources) },
		func() error { return checkTogether(r) },
		func() error { return parseOperands(c, r) },
	} {
		if err := parse(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func parseContainer(c *cli.Context, r *createRequest) (err error) {
	ctr := r.ctr
	ctr.Name, ctr.AutoRemove, ctr.Runtime = c.String("name"), c.Bool("rm"), c.String("runtime")
	ctr.Stdin, ctr.Terminal = c.Bool("interactive"), c.Bool("tty")
	if c.IsSet("name") && ctr.Name == "" {
		return errors.New(`invalid --name "": letters, digits, _ . and -, the first a letter or digit`)
	}
	if r.pull = c.String("pull"); !slices.Contains([]string{"missing", "always", "never"}, r.pull) {
		return fmt.Errorf("invalid --pull %q: missing, always or never", r.pull)
	}
	if r.attach, err = parseAttach(c.StringSlice("attach")); err != nil {
		return err
	}
	if r.detach && len(r.attach) > 0 {
		return errors.New("--detach and --attach exclude each other")
	}
	if ctr.Platform = c.String("platform"); c.IsSet("platform") {
		if err := checkPlatform(ctr.Platform); err != nil {
			return err
		}
	}
	if r.cidFile = c.String("cidfile"); r.cidFile != "" {
		if _, err := os.Lstat(r.cidFile); err == nil {
			return fmt.Errorf("--cidfile %q exists: remove it, or name another", r.cidFile)
		}
	}
	if ctr.Labels, err = parseLabels(c.StringSlice("label"), c.StringSlice("label-file")); err != nil {
		return err
	}
	for _, a := range c.StringSlice("annotation") {
		k, v, ok := strings.Cut(a, "=")
		if !ok || k == "" {
			return fmt.Errorf("invalid --annotation %q: want KEY=VALUE", a)
		}
		put(&ctr.Annotations, k, v)
	}
	if r.detachKeys, err = parseDetachKeys(c.String("detach-keys")); err != nil {
		return err
	}
	return parseStop(c, ctr)
}

func put(m *map[string]string, k, v string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[k] = v
}

func parseStop(c *cli.Context, ctr *libpod.Container) error {
	if ctr.StopSignal = c.String("stop-signal"); c.IsSet("stop-signal") {
		if _, err := libpod.Signal(ctr.StopSignal); err != nil {
			return fmt.Errorf("--stop-signal: %w", err)
		}
	}
	ctr.StopTimeout = c.Int("stop-timeout")
	if c.IsSet("stop-timeout") && (ctr.StopTimeout == 0 || ctr.StopTimeout < -1) {
		return fmt.Errorf("invalid --stop-timeout %d: seconds from 1, or -1 for ever; to kill at once use --stop-signal KILL", ctr.StopTimeout)
	}
	return nil
}

func parseAttach(list []string) ([]string, error) {
	for i, s := range list {
		list[i] = strings.ToLower(s)
		if !slices.Contains([]string{"stdin", "stdout", "stderr"}, list[i]) {
			return nil, fmt.Errorf("invalid --attach %q: stdin, stdout or stderr", s)
		}
	}
	return list, nil
}

func checkPlatform(s string) error {
	parts := strings.Split(s, "/")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return fmt.Errorf("invalid --platform %q: want OS[/ARCH[/VARIANT]], as linux/arm64", s)
	}
	if parts[0] != "linux" {
		return fmt.Errorf("invalid --platform %q: proa runs linux containers only", s)
	}
	return nil
}

func parseLabels(list, files []string) (map[string]string, error) {
	var labels map[string]string
	for _, file := range files {
		lines, err := readLines("--label-file", file)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			k, v, _ := strings.Cut(l, "=")
			if strings.TrimSpace(k) == "" {
				return nil, fmt.Errorf("invalid line %q in --label-file %q: want KEY=VALUE", l, file)
			}
			put(&labels, k, v)
		}
	}
	for _, l := range list {
		k, v, _ := strings.Cut(l, "=")
		if strings.TrimSpace(k) == "" {
			return nil, fmt.Errorf("invalid --label %q: want KEY=VALUE", l)
		}
		put(&labels, k, v)
	}
	return labels, nil
}

// checkTogether refuses options that contradict each other.
func checkTogether(r *createRequest) error {
	cfg := r.ctr.Config
	n := cfg.Namespaces
	switch {
	case n.UTS == "host" && (n.Hostname != "" || n.Domainname != ""):
		return errors.New("--uts host and --hostname or --domainname exclude each other: the container would rename the host")
	case n.IPC == "host" && cfg.Mounts.ShmSize != 0:
		return errors.New("--ipc host and --shm-size exclude each other: the container has the host's /dev/shm")
	case r.ctr.Log.Driver == "passthrough" && r.ctr.Terminal:
		return errors.New("--log-driver passthrough and --tty exclude each other")
	}
	for k := range cfg.Process.Sysctls {
		if err := checkSysctl(k, n); err != nil {
			return err
		}
	}
	return nil
}

// parseOperands takes IMAGE [COMMAND [ARG...]], or with --rootfs a directory in the image's place.
func parseOperands(c *cli.Context, r *createRequest) error {
	if !c.Args().Present() {
		what := "image"
		if c.Bool("rootfs") {
			what = "directory for --rootfs"
		}
		return fmt.Errorf("no %s given: proa %s [OPTIONS] IMAGE [COMMAND [ARG...]]", what, c.Command.Name)
	}
	first := c.Args().First()
	if rest := c.Args().Tail(); len(rest) > 0 {
		r.ctr.Config.Process.Cmd = rest
	}
	if !c.Bool("rootfs") {
		if first == "" {
			return errors.New(`invalid image "": want [REGISTRY/]REPOSITORY[:TAG|@DIGEST]`)
		}
		r.image, r.ctr.Image = first, first
		return nil
	}
	dir, copied := strings.CutSuffix(first, ":O")
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("invalid --rootfs %q: %w", dir, err)
	}
	if st, err := os.Stat(abs); err != nil || !st.IsDir() {
		return fmt.Errorf("invalid --rootfs %q: it is not a directory", dir)
	}
	r.ctr.Rootfs, r.ctr.RootfsCopy = abs, copied
	return nil
}
