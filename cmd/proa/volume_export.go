package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newVolumeExportCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the content of a volume as a tar archive to standard output or a file",
		ArgsUsage: "VOLUME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`"},
		},
		Action: func(c *cli.Context) error { return failed([]error{runVolumeExport(a, c)}) },
	}
}

func runVolumeExport(a *app, c *cli.Context) error {
	name, err := oneVolume(c, 1)
	if err != nil {
		return err
	}
	file := c.String("output")
	if (file == "" || file == "-") && isTerminal(a.out) {
		return errors.New("an archive is not for a terminal: redirect the output, or use --output FILE")
	}
	_, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	v, err := s.Get(name)
	if err != nil {
		return err
	}
	dir, release, err := s.Content(c.Context, v)
	if err != nil {
		return err
	}
	defer release()
	if file == "" || file == "-" {
		return storage.PackTree(dir, a.out)
	}
	return writeWhole(file, func(w io.Writer) error { return storage.PackTree(dir, w) })
}

// writeWhole writes a file under another name first: it is there whole or, as before, not.
func writeWhole(path string, write func(io.Writer) error) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() { // a pipe or a device
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	part := fmt.Sprintf("%s.part-%d", path, os.Getpid())
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}
