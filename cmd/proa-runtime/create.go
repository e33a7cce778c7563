package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/runtime"
)

func runtimeCreateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "the `DIR` with config.json", Value: "."},
		&cli.StringFlag{Name: "console-socket", Usage: "send the terminal to the unix socket `PATH`"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the process id to `FILE`"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "change the root with chroot, on a host that runs from its initial ramfs"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "hand `N` more descriptors to the command, from 3 on"},
	}
}

func (rc *runtimeCLI) createCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "create a container", ArgsUsage: "ID", Flags: runtimeCreateFlags(),
		Action: func(c *cli.Context) error {
			id, err := oneID(c)
			if err != nil {
				return err
			}
			opts := runtimeCreateOptions(c)
			opts.Wait, opts.Console = true, sendConsole(c.String("console-socket"))
			_, proc, err := rc.create(c, id, opts)
			if err != nil {
				return err
			}
			return proc.Release()
		},
	}
}

func runtimeCreateOptions(c *cli.Context) runtime.CreateOptions {
	return runtime.CreateOptions{
		Bundle: c.String("bundle"), NoPivot: c.Bool("no-pivot"), Preserve: c.Int("preserve-fds"),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
}

// create makes the container and writes its pid file; when that fails nothing is left.
func (rc *runtimeCLI) create(c *cli.Context, id string, opts runtime.CreateOptions) (*runtime.Record, *launch.Process, error) {
	rec, proc, err := rc.rt.Create(id, opts)
	if err != nil {
		return nil, nil, err
	}
	if err := writePidFile(c.String("pid-file"), proc.Pid); err != nil {
		return nil, nil, errors.Join(err, rc.rt.Delete(id, true))
	}
	return rec, proc, nil
}

// writePidFile appears complete or not at all.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("write the pid file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write the pid file: %w", err)
	}
	return nil
}

func (rc *runtimeCLI) runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "create and start a container, and wait for it", ArgsUsage: "ID",
		Flags: append(runtimeCreateFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "do not wait"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when it ends"}),
		Action: rc.run,
	}
}

func (rc *runtimeCLI) run(c *cli.Context) error {
	id, err := oneID(c)
	if err != nil {
		return err
	}
	var tty relay
	opts := runtimeCreateOptions(c)
	if opts.Console = sendConsole(c.String("console-socket")); opts.Console == nil && !c.Bool("detach") {
		opts.Console = tty.start
	}
	// Orphans of a container without a pid namespace come to this process, and their init's exit code with them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	signals := &forwarder{}
	if !c.Bool("detach") {
		signals = catchSignals()
	}
	rec, proc, err := rc.create(c, id, opts)
	if err != nil {
		tty.stop()
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
	if !c.Bool("keep") {
		if err := rc.rt.Finish(rec); err != nil {
			return err
		}
	}
	if code := waitCode(unix.WaitStatus(ws)); code != 0 {
		return &exitError{code: code}
	}
	return nil
}
