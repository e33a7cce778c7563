package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func newCpCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "cp",
		Usage:     "copy files between containers, this host and archives",
		ArgsUsage: "[CONTAINER:]SOURCE|- [CONTAINER:]TARGET|-",
		Description: "A path on this host that has a colon is written with ./ or / before it. \"-\" is an archive: tar on standard input, which " +
			"is unpacked in TARGET, or on standard output.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "archive", Aliases: []string{"a"}, Usage: "keep the owners of files"},
			&cli.BoolFlag{Name: "follow-link", Aliases: []string{"L"}, Usage: "copy what a symbolic link SOURCE leads to"},
			&cli.BoolFlag{Name: "overwrite", Usage: "let a directory be replaced by a file, and a file by a directory"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "do not tell a terminal how much was copied"},
		},
		Action: func(c *cli.Context) error { return runCp(a, c) },
	}
}

func runCp(a *app, c *cli.Context) error {
	if c.NArg() != 2 {
		return fmt.Errorf("cp takes a source and a target, not %d arguments", c.NArg())
	}
	fromRef, fromPath := splitCp(c.Args().Get(0))
	toRef, toPath := splitCp(c.Args().Get(1))
	switch {
	case fromRef == "" && toRef == "":
		return errors.New("cp copies from or to a container: write one side as CONTAINER:PATH")
	case fromPath == "" || toPath == "":
		return errors.New("cp takes paths that are not empty; a container's is written CONTAINER:PATH")
	}
	var from, to libpod.CopyEnd
	var err error
	if from.Path, err = cpPath(fromRef, fromPath); err != nil {
		return err
	}
	if to.Path, err = cpPath(toRef, toPath); err != nil {
		return err
	}
	if fromRef == "" && fromPath == "-" {
		from.Path, from.Reader = "", a.in
	}
	if toRef == "" && toPath == "-" {
		if f, ok := a.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return errors.New("cp does not write an archive to a terminal; redirect its output")
		}
		to.Path, to.Writer = "", a.out
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	for ref, end := range map[string]*libpod.CopyEnd{fromRef: &from, toRef: &to} {
		if ref == "" {
			continue
		}
		if end.Container, err = e.Lookup(ref); err != nil {
			return &exitError{1, err}
		}
	}
	if fromRef == toRef {
		from.Container = to.Container
	}
	return cp(a, c, e, from, to)
}

func cp(a *app, c *cli.Context, e *libpod.Engine, from, to libpod.CopyEnd) error {
	o := libpod.CopyOptions{Archive: c.Bool("archive"), Follow: c.Bool("follow-link"), Force: c.Bool("overwrite")}
	var bytes int64
	f, ok := a.err.(*os.File)
	tell := ok && !c.Bool("quiet") && to.Writer == nil && term.IsTerminal(int(f.Fd()))
	if tell {
		o.Count = func(n int64) { bytes += n }
	}
	if err := interruptible(c.Context, func() error { return e.Copy(c.Context, from, to, o) }); err != nil {
		return err
	}
	if tell {
		fmt.Fprintf(a.err, "Successfully copied %s to %s\n", units.HumanSize(float64(bytes)), c.Args().Get(1))
	}
	return nil
}

// interruptible runs do, which works with files, and gives its error Docker's exit code. When it is interrupted while it
// waits for a pipe that nobody writes to or reads from, it is left behind: proa ends, and it with it.
func interruptible(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(200 * time.Millisecond):
			err = ctx.Err()
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &exitError{exitInterrupted, errors.New("interrupted; what was written until then is left")}
	}
	return &exitError{1, err}
}

// exitInterrupted is a shell's exit code for what SIGINT ends.
const exitInterrupted = 128 + 2

// splitCp takes CONTAINER:PATH apart; a path on this host has no container.
func splitCp(arg string) (ref, path string) {
	if filepath.IsAbs(arg) || strings.HasPrefix(arg, ".") {
		return "", arg
	}
	ref, path, ok := strings.Cut(arg, ":")
	if !ok {
		return "", arg
	}
	return ref, path
}

// cpPath is an absolute path that ends as the given one does. In a container a relative one begins at its root.
func cpPath(ref, path string) (string, error) {
	if filepath.IsAbs(path) || path == "-" && ref == "" {
		return path, nil
	}
	if ref != "" {
		return "/" + path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the current directory: %w", err)
	}
	return dir + "/" + path, nil
}
