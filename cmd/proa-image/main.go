// Package main is proa-image: it moves images between the store and registries or archives. It holds everything that
// links image transport, so that proa's own commands start without it. proa executes it inside the user's namespace,
// with the words of its own command line; login and logout
// outside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/image/transfer"
	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/internal/manual"
	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/monitor/event"
	"github.com/proa-containers/proa/storage"
)

// app is what every command constructor receives.
type app struct {
	in       *os.File
	out, err *os.File
}

// store opens the store that the flags and storage.conf name.
func (a *app) store(c *cli.Context) (*storage.Store, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("proa-image is started by proa, inside the user namespace; use proa pull or proa load")
	}
	return storage.Open(c.Context, storage.Options{
		GraphRoot: c.String("root"), RunRoot: c.String("runroot"), Rootless: rootless.Inside(), OuterUID: rootless.OuterUID(),
	})
}

// say writes an event of the image id, whose events' subject is actor. What was done is done: an error is a warning.
func (a *app) say(s *storage.Store, action, actor, id, name string) {
	paths, err := config.Resolve(rootless.OuterUID(), rootless.Inside())
	if err == nil {
		var labels map[string]string
		if img, err := image.Lookup(s, id); err == nil {
			labels = img.Config.Labels
		}
		err = event.Append(paths.EventDir(), event.Image(action, actor, name, labels))
	}
	if err != nil {
		fmt.Fprintln(a.err, "proa: warning:", err)
	}
}

// output is where progress goes.
func (a *app) output(quiet bool) transfer.Output {
	if quiet {
		return transfer.Output{}
	}
	return transfer.Output{Writer: a.err, Terminal: term.IsTerminal(int(a.err.Fd())) && os.Getenv("TERM") != "dumb"}
}

func newApp(a *app) *cli.App {
	out := &cli.App{
		Name:     "proa-image",
		HelpName: "proa", // what its users type
		Usage:    "move images between the store and registries or archives",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Usage: "where images are, in place of storage.conf's graphroot"},
			&cli.StringFlag{Name: "runroot", Usage: "in place of storage.conf's runroot"},
		},
		Commands:                  []*cli.Command{newPull(a), newPush(a), newLoad(a), newSave(a), newImport(a), newLogin(a), newLogout(a), manual.New()},
		Writer:                    a.out,
		ErrWriter:                 a.err,
		DisableSliceFlagSeparator: true,
		HideHelpCommand:           true,
		ExitErrHandler:            func(*cli.Context, error) {},
	}
	for _, c := range out.Commands {
		c.HideHelpCommand = true
		c.OnUsageError = func(c *cli.Context, err error, _ bool) error {
			return fmt.Errorf("%w; see `proa %s --help`", err, c.Command.Name)
		}
	}
	return out
}

func main() {
	if storage.Reexec() {
		return
	}
	// The libraries log what they also return.
	logrus.SetOutput(io.Discard)
	// Several layers at once keep megabytes of buffers alive, and little else is allocated: collecting more often takes a
	// seventh off the peak.
	debug.SetGCPercent(25)
	usersRuntimeDir()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A second Ctrl-C does not wait for the cleaning up; the next transfer does that then. The SIGTERM that proa sends after the
	// first one does.
	context.AfterFunc(ctx, func() { signal.Reset(syscall.SIGINT) })
	cmds := newApp(&app{os.Stdin, os.Stdout, os.Stderr})
	err := cmds.RunContext(ctx, argv.Canonical(cmds, os.Args))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "proa:", err)
		os.Exit(125)
	}
}

// usersRuntimeDir sets XDG_RUNTIME_DIR where it is unset and a login has made the directory: that is where other tools,
// which do the same, have auth.json.
func usersRuntimeDir() {
	uid := rootless.OuterUID()
	dir := fmt.Sprintf("/run/user/%d", uid)
	if _, err := os.Stat(dir); os.Getenv("XDG_RUNTIME_DIR") == "" && uid != 0 && err == nil {
		_ = os.Setenv("XDG_RUNTIME_DIR", dir)
	}
}
