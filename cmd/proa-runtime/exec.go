package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/runtime"
)

func (rc *runtimeCLI) execCommand() *cli.Command {
	return &cli.Command{
		Name: "exec", Usage: "run a further process in a container", ArgsUsage: "ID [COMMAND [ARG...]]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "take the process from the JSON `FILE`"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give it a terminal"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "do not wait"},
			&cli.StringFlag{Name: "pid-file", Usage: "write the process id to `FILE`"},
			&cli.StringFlag{Name: "console-socket", Usage: "send the terminal to the unix socket `PATH`"},
			&cli.StringFlag{Name: "cwd", Usage: "start in `DIR` of the container"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set the environment variable `NAME=VALUE`"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `UID[:GID]`"},
			&cli.IntSliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "with the supplementary group `GID`"},
			&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "with the capability `CAP` too"},
			&cli.BoolFlag{Name: "no-new-privs", Usage: "without gaining privileges on execve"},
			&cli.IntFlag{Name: "preserve-fds", Usage: "hand `N` more descriptors to the command, from 3 on"},
		},
		Action: rc.exec,
	}
}

func (rc *runtimeCLI) exec(c *cli.Context) error {
	id := c.Args().First()
	if id == "" {
		return fmt.Errorf("exec takes a container id and a command")
	}
	rec, err := rc.rt.Load(id)
	if err != nil {
		return err
	}
	process, err := execProcess(c, rec.Config.Spec())
	if err != nil {
		return err
	}
	signals := &forwarder{}
	if !c.Bool("detach") {
		signals = catchSignals()
	}
	var tty relay
	opts := runtime.ExecOptions{Preserve: c.Int("preserve-fds"), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if opts.Console = sendConsole(c.String("console-socket")); opts.Console == nil && !c.Bool("detach") {
		opts.Console = tty.start
	}
	proc, err := rc.rt.Exec(id, process, opts)
	if err != nil {
		tty.stop()
		return err
	}
	if err := writePidFile(c.String("pid-file"), proc.Pid); err != nil {
		return err
	}
	if c.Bool("detach") {
		return proc.Release()
	}
	signals.to(proc.PidFD)
	ws, err := proc.Wait()
	tty.stop()
	if err != nil {
		return err
	}
	if code := waitCode(unix.WaitStatus(ws)); code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// execProcess is the process of --process, or the container's own changed by the flags.
func execProcess(c *cli.Context, spec *specs.Spec) (*specs.Process, error) {
	p := new(specs.Process)
	if name := c.String("process"); name != "" {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the process: %w", err)
		}
		if err := json.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("read the process %q: %w", name, err)
		}
		return p, nil
	}
	if spec.Process == nil || c.NArg() < 2 {
		return nil, fmt.Errorf("exec needs a command, or --process")
	}
	*p = *spec.Process
	p.Args = c.Args().Slice()[1:]
	p.Terminal = c.Bool("tty")
	p.Env = append(append([]string{}, p.Env...), c.StringSlice("env")...)
	p.NoNewPrivileges = p.NoNewPrivileges || c.Bool("no-new-privs")
	if c.IsSet("cwd") {
		p.Cwd = c.String("cwd")
	}
	for _, g := range c.IntSlice("additional-gids") {
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(g))
	}
	if caps := c.StringSlice("cap"); len(caps) > 0 {
		p.Capabilities = addCaps(p.Capabilities, caps)
	}
	if u := c.String("user"); u != "" {
		uid, gid, both := strings.Cut(u, ":")
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("invalid --user %q: it is UID or UID:GID", u)
		}
		p.User.UID = uint32(n)
		if both {
			if n, err = strconv.ParseUint(gid, 10, 32); err != nil {
				return nil, fmt.Errorf("invalid --user %q: it is UID or UID:GID", u)
			}
			p.User.GID = uint32(n)
		}
	}
	return p, nil
}

func addCaps(old *specs.LinuxCapabilities, caps []string) *specs.LinuxCapabilities {
	n := specs.LinuxCapabilities{}
	if old != nil {
		n = *old
	}
	add := func(to []string) []string { return append(append([]string{}, to...), caps...) }
	n.Bounding, n.Effective, n.Permitted = add(n.Bounding), add(n.Effective), add(n.Permitted)
	return &n
}
