package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/driver"
	"github.com/urfave/cli/v2"
)

// createFlags are the flags that create and run share.
func createFlags() []cli.Flag {
	return slices.Concat(containerFlags(), processFlags(), namespaceFlags(), securityFlags(), mountFlags(), resourceFlags(), healthFlags(), networkFlags())
}

func pullFlag() cli.Flag {
	return &cli.StringFlag{Name: "pull", Value: "missing", Usage: "`WHEN` to pull the image: missing, always or never"}
}

func checkPull(c *cli.Context) error {
	if p := c.String("pull"); !slices.Contains([]string{"missing", "always", "never"}, p) {
		return fmt.Errorf("invalid --pull %q: missing, always or never", p)
	}
	return nil
}

func containerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the container"},
		&cli.BoolFlag{Name: "replace", Usage: "remove the container that has the --name, running or not, once the image is there"},
		&cli.BoolFlag{Name: "rm", Usage: "remove the container when it ends"},
		restartFlag(),
		pullFlag(),
		&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH[/VARIANT]` of the image"},
		&cli.StringFlag{Name: "arch", Usage: "`ARCHITECTURE` of the image, in place of the host's"},
		&cli.StringFlag{Name: "os", Usage: "operating `SYSTEM` of the image: linux"},
		&cli.StringFlag{Name: "variant", Usage: "`VARIANT` of the architecture of the image"},
		&cli.StringFlag{Name: "authfile", Usage: "`FILE` with credentials for a pull"},
		&cli.BoolFlag{Name: "tls-verify", Value: true, Usage: "verify the registry's certificate in a pull; false allows HTTP too"},
		&cli.StringFlag{Name: "cidfile", Usage: "write the container's id to a new `FILE`"},
		&cli.StringFlag{Name: "runtime", Usage: "run it with `RUNTIME`, the name or path of an executable as crun or runc, in place of the bundled one"},
		stringList("label", "l", "set a label, as `KEY=VALUE`"),
		stringList("label-file", "", "read labels from `FILE`, one a line"),
		stringList("annotation", "", "set an annotation of the OCI runtime, as `KEY=VALUE`"),
		&cli.StringFlag{Name: "stop-signal", Usage: "`SIGNAL` that asks the container to end (default: the image's, else SIGTERM)"},
		&cli.IntFlag{Name: "stop-timeout", Usage: "`SECONDS` from the stop signal to the kill, -1 for ever (default: 10)"},
		&cli.BoolFlag{Name: "rootfs", Usage: "the first argument is a directory, not an image; with :O behind it changes are not written there"},
		&cli.StringFlag{Name: "log-driver", Value: "k8s-file", Usage: "`DRIVER` of the log: k8s-file, json-file, journald, passthrough or none"},
		stringList("log-opt", "", "option of the log: path, max-size, max-file, compress, mode, max-buffer-size, tag, labels, labels-regex, env or env-regex (`KEY=VALUE`)"),
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

// parseCreate reads and checks the options and arguments that make a container: an image's name, or with --rootfs a
// directory, and the command.
func parseCreate(a *app, c *cli.Context) (*libpod.Container, error) {
	ctr := &libpod.Container{}
	cfg := &ctr.Config
	for _, parse := range []func() error{
		func() error { return parseContainer(c, ctr) },
		func() error { return parseRestart(c, ctr) },
		func() error { return parseHealth(c, ctr) },
		func() error { return parseLog(c, ctr) },
		func() error { return parseProcess(c, &cfg.Process) },
		func() error { return parseNamespaces(c, &cfg.Namespaces) },
		func() error { return parseSecurity(c, &cfg.Security) },
		func() error { return parseMounts(c, &cfg.Mounts) },
		func() error { return parseResources(c, &cfg.Resources) },
		func() error { return parseNetworks(a, c, ctr) },
		func() error { return checkTogether(ctr) },
		func() error { return parseOperands(c, ctr) },
	} {
		if err := parse(); err != nil {
			return nil, err
		}
	}
	return ctr, nil
}

func parseContainer(c *cli.Context, ctr *libpod.Container) (err error) {
	ctr.Name, ctr.AutoRemove = c.String("name"), c.Bool("rm")
	ctr.Stdin, ctr.Terminal = c.Bool("interactive"), c.Bool("tty")
	if c.IsSet("name") && ctr.Name == "" {
		return errors.New(`invalid --name "": letters, digits, _ . and -, the first a letter or digit`)
	}
	if err := checkPull(c); err != nil {
		return err
	}
	if ctr.Replace = c.Bool("replace"); ctr.Replace && ctr.Name == "" {
		return errors.New("--replace needs --name: it is about the container that has it")
	}
	if ctr.Platform, err = parsePlatform(c); err != nil {
		return err
	}
	if file := c.String("cidfile"); file != "" {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("the --cidfile %q exists: another container may use it; remove it or choose another", file)
		}
	}
	if ctr.Runtime, err = parseRuntime(c); err != nil {
		return err
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
	return parseStop(c, ctr)
}

// parsePlatform is OS/ARCH[/VARIANT] of the image that is wanted; empty for the host's.
func parsePlatform(c *cli.Context) (string, error) {
	platform := c.String("platform")
	parts := slices.ContainsFunc([]string{"arch", "os", "variant"}, c.IsSet)
	switch {
	case parts && c.IsSet("platform"):
		return "", errors.New("give either --platform or --os, --arch and --variant")
	case parts:
		platform = cmp.Or(c.String("os"), "linux") + "/" + cmp.Or(c.String("arch"), runtime.GOARCH)
		if v := c.String("variant"); v != "" {
			platform += "/" + v
		}
	case !c.IsSet("platform"):
		return "", nil
	}
	return platform, checkPlatform(platform)
}

// bundledRuntime is the name of the runtime that is part of proa.
const bundledRuntime = "proa"

// parseRuntime is the --runtime of the command or, before it, of proa: a name or an absolute path, empty for the
// bundled one.
func parseRuntime(c *cli.Context) (string, error) {
	for _, ctx := range c.Lineage() {
		if !ctx.IsSet("runtime") {
			continue
		}
		name := ctx.String("runtime")
		if name == bundledRuntime {
			return "", nil
		}
		if strings.Contains(name, "/") {
			abs, err := filepath.Abs(name)
			if err != nil {
				return "", fmt.Errorf("invalid --runtime %q: %w", name, err)
			}
			name = abs
		}
		_, err := driver.Find(name, os.Getenv("PATH"))
		return name, err
	}
	return "", nil
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
	if c.IsSet("stop-timeout") {
		seconds := c.Int("stop-timeout")
		if seconds < -1 {
			return fmt.Errorf("invalid --stop-timeout %d: seconds, 0 to kill at once, or -1 for ever", seconds)
		}
		ctr.StopTimeout = &seconds
	}
	return nil
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
func checkTogether(ctr *libpod.Container) error {
	cfg := ctr.Config
	n := cfg.Namespaces
	switch {
	case n.UTS == "host" && (n.Hostname != "" || n.Domainname != ""):
		return errors.New("--uts host and --hostname or --domainname exclude each other: the container would rename the host")
	case n.IPC == "host" && cfg.Mounts.ShmSize != 0:
		return errors.New("--ipc host and --shm-size exclude each other: the container has the host's /dev/shm")
	case ctr.Log.Driver == "passthrough" && ctr.Terminal:
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
func parseOperands(c *cli.Context, ctr *libpod.Container) error {
	if !c.Args().Present() {
		what := "image"
		if c.Bool("rootfs") {
			what = "directory for --rootfs"
		}
		return fmt.Errorf("no %s given: proa %s [OPTIONS] IMAGE [COMMAND [ARG...]]", what, c.Command.Name)
	}
	first := c.Args().First()
	ctr.Image = first
	if rest := c.Args().Tail(); len(rest) > 0 {
		ctr.Config.Process.Cmd = rest
	}
	if !c.Bool("rootfs") {
		if first == "" {
			return errors.New(`invalid image "": want [REGISTRY/]REPOSITORY[:TAG|@DIGEST]`)
		}
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
	ctr.Rootfs, ctr.RootfsCopy = abs, copied
	return nil
}
