package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newVolumeImportCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "put the content of a tar archive into a volume",
		ArgsUsage: "VOLUME [FILE|-]",
		Action:    func(c *cli.Context) error { return failed([]error{runVolumeImport(a, c)}) },
	}
}

func runVolumeImport(a *app, c *cli.Context) error {
	name, err := oneVolume(c, 2)
	if err != nil {
		return err
	}
	var in io.Reader = a.in
	if file := c.Args().Get(1); file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("opening the archive: %w", err)
		}
		defer f.Close()
		in = f
	} else if isTerminal(a.in) {
		return errors.New("an archive does not come from a terminal: name a file, or redirect the input")
	}
	_, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	v, err := s.Get(name)
	if err != nil {
		return err
	}
	return s.Import(c.Context, v, func(dir string) error { return storage.UnpackTree(in, dir) })
}
