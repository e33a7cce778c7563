// Package main is proa-runtime, the OCI runtime command line of the bundled runtime, for engines other than proa too. It
// runs as its caller, who has arranged the user namespace, and is a program of its own so that it starts without what the
// engine links: the store alone takes a millisecond of it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/internal/manual"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/seccomp"
)

// runtimeName is the program's name.
const runtimeName = "proa-runtime"

// runtimeExit is the status of the runtime's own failures, as other runtimes have it.
const runtimeExit = 1

// exitError ends the program with a code and prints nothing: the container's own status.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

func main() { os.Exit(run(os.Args)) }

// run is the command line; args include the program's name.
func run(args []string) int {
	// These commands are short: a garbage collection would cost more than it frees.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(64 << 20)
	rc := &runtimeCLI{}
	app := &cli.App{
		Name: runtimeName, Usage: "run containers from OCI bundles", HideHelpCommand: true, UseShortOptionHandling: true,
		Version:        "1.0.0\ncommit: proa\nspec: " + specs.Version,
		ExitErrHandler: func(*cli.Context, error) {},
		Before:         rc.before,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Usage: "keep the state of containers in `DIR`", Value: runtime.DefaultRoot()},
			&cli.StringFlag{Name: "log", Usage: "write errors to `FILE` too"},
			&cli.StringFlag{Name: "log-format", Usage: "text or json", Value: "text"},
			&cli.StringFlag{Name: "log-level", Usage: "the least severe `LEVEL` to log: debug, info, warn or error", Value: "warn"},
			&cli.BoolFlag{Name: "debug", Usage: "log everything"},
			&cli.BoolFlag{Name: "systemd-cgroup", Usage: "let systemd make the cgroups"},
		},
		Commands: []*cli.Command{
			rc.createCommand(), rc.startCommand(), rc.stateCommand(), rc.killCommand(), rc.deleteCommand(), rc.runCommand(),
			rc.execCommand(), rc.psCommand(), rc.pauseCommand(), rc.resumeCommand(), rc.updateCommand(),
			rc.featuresCommand(), rc.specCommand(), rc.listCommand(), rc.eventsCommand(), manual.New(),
		},
	}
	argv.Name(app)
	err := app.Run(args)
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	if err != nil {
		rc.logError(err)
		fmt.Fprintf(os.Stderr, "%s: %v\n", runtimeName, err)
		return runtimeExit
	}
	return 0
}

// runtimeCLI is what the runtime's commands share.
type runtimeCLI struct {
	rt      *runtime.Runtime
	log     io.WriteCloser
	logJSON bool
}

func (rc *runtimeCLI) before(c *cli.Context) error {
	switch c.String("log-format") {
	case "text":
	case "json":
		rc.logJSON = true
	default:
		return fmt.Errorf("unknown --log-format %q; it is text or json", c.String("log-format"))
	}
	if name := c.String("log"); name != "" {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		rc.log = f
	}
	if err := rc.setLogger(c); err != nil {
		return err
	}
	root, err := filepath.Abs(c.String("root"))
	if err != nil {
		return err
	}
	rc.rt = &runtime.Runtime{
		Store: runtime.Store{Root: root}, SystemdCgroup: c.Bool("systemd-cgroup"), JoinHelper: "/proc/self/exe",
		OpenInit:       openInit,
		CompileSeccomp: func(s *specs.LinuxSeccomp) ([]byte, uint64, error) { return seccomp.Compile(s, root) },
	}
	return nil
}

// setLogger sends what hooks and the like have to say to the log, or to standard error.
func (rc *runtimeCLI) setLogger(c *cli.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return fmt.Errorf("unknown --log-level %q; it is debug, info, warn or error", c.String("log-level"))
	}
	if c.Bool("debug") {
		level = slog.LevelDebug
	}
	var w io.Writer = os.Stderr
	if rc.log != nil {
		w = rc.log
	}
	opts := &slog.HandlerOptions{Level: level}
	if rc.logJSON {
		slog.SetDefault(slog.New(slog.NewJSONHandler(w, opts)))
	} else {
		slog.SetDefault(slog.New(slog.NewTextHandler(w, opts)))
	}
	return nil
}

// logError writes the final error the way engines read it.
func (rc *runtimeCLI) logError(err error) {
	if rc.log == nil {
		return
	}
	defer rc.log.Close()
	now := time.Now().Format(time.RFC3339)
	if !rc.logJSON {
		fmt.Fprintf(rc.log, "time=%q level=error msg=%q\n", now, err.Error())
		return
	}
	_ = json.NewEncoder(rc.log).Encode(map[string]string{"level": "error", "msg": err.Error(), "time": now})
}

// openInit shares the sealed copy in which the user's pause process runs; where there is none it makes one.
func openInit() (*os.File, error) {
	pause := 0
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		pause = rootless.Holder(filepath.Join(dir, "proa", "pause.lock"))
	}
	return initbin.Open(pause)
}

// oneID is the only argument of most commands.
func oneID(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", fmt.Errorf("%s takes one container id, not %d arguments", c.Command.Name, c.NArg())
	}
	return c.Args().First(), nil
}

// forwarder holds the signals this process gets until there is a process to send them to.
type forwarder struct{ signals chan os.Signal }

// catchSignals begins with those that are meant for a container. Go hands over between two threads to catch one:
// all 64 take milliseconds, which a start need not wait for.
func catchSignals() *forwarder {
	f := &forwarder{make(chan os.Signal, 64)}
	go signal.Notify(f.signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT)
	return f
}

// allSignals is when the rarer signals are caught as well: a short container has ended by then.
const allSignals = 20 * time.Millisecond

// to sends them on until this process ends, and soon all; to a process that has ended they are sent in vain.
func (f *forwarder) to(pidfd *os.File) {
	time.AfterFunc(allSignals, func() { signal.Notify(f.signals) })
	go func() {
		for s := range f.signals {
			switch s {
			case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH:
			default:
				_ = unix.PidfdSendSignal(int(pidfd.Fd()), s.(unix.Signal), nil, 0)
			}
		}
	}()
}

// waitCode converts a wait status to a shell's exit code.
func waitCode(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
