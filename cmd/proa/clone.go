package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/state"
	"github.com/urfave/cli/v2"
)

func newCloneCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "clone",
		Usage:     "make a container as another was made, without what that wrote",
		ArgsUsage: "CONTAINER [NAME [IMAGE]]",
		Flags: append(resourceFlags(),
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the new container (default: the other's with -clone behind it)"},
			&cli.BoolFlag{Name: "run", Usage: "start the new container"},
			&cli.BoolFlag{Name: "destroy", Usage: "remove the other container when the new one is made"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "with --destroy, kill the other if it runs"},
		),
		Action: objectErrors(func(c *cli.Context) error { return runClone(a, c) }),
	}
}

func runClone(a *app, c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 3 {
		return fmt.Errorf("clone takes a container and, if wanted, a name and an image, not %d arguments", c.NArg())
	}
	if c.IsSet("name") && c.NArg() > 1 {
		return errors.New("clone takes the new name either behind the container or as --name, not both")
	}
	if c.Bool("force") && !c.Bool("destroy") {
		return errors.New("--force needs --destroy: it is about the removal of the other container")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	old, err := e.Lookup(c.Args().First())
	if err != nil {
		return err
	}
	if st := e.Status(old); c.Bool("destroy") && !c.Bool("force") && up(libpod.Listed{Container: old, Status: st}) {
		return &libpod.WrongStateError{Name: old.Name, State: st.State, Reason: "can't be removed by --destroy: stop it before, or give --force"}
	}
	ctr, img, err := copyContainer(c, e, old)
	if err != nil {
		return err
	}
	if err := createClone(c, e, ctr, img, old); err != nil {
		return err
	}
	fmt.Fprintln(a.out, ctr.ID)
	if c.Bool("destroy") {
		if err := e.Remove(c.Context, old, c.Bool("force")); err != nil {
			return err
		}
	}
	if c.Bool("run") {
		_, err = e.Start(c.Context, ctr, libpod.StartOptions{})
	}
	return startFailed(err)
}

// copyContainer is the new container and its image, by the command line.
func copyContainer(c *cli.Context, e *libpod.Engine, old *libpod.Container) (*libpod.Container, *image.Image, error) {
	var from, to *image.Image
	var err error
	if old.ImageID != "" {
		if from, err = e.Image(old.ImageID); err != nil {
			return nil, nil, err
		}
		to = from
	}
	ref := c.Args().Get(2)
	if ref != "" {
		if to, err = e.Image(ref); err != nil {
			return nil, nil, err
		}
	}
	ctr := old.Clone(from)
	if ref != "" {
		ctr.Image, ctr.Rootfs, ctr.RootfsCopy = ref, "", false
	}
	return ctr, to, updateLimits(c, &ctr.Config.Resources)
}

// createClone makes the container under the name of the command line, or the first that is free.
func createClone(c *cli.Context, e *libpod.Engine, ctr *libpod.Container, img *image.Image, old *libpod.Container) error {
	name := c.String("name")
	if c.NArg() > 1 {
		name = c.Args().Get(1)
	}
	if ctr.Name = name; name != "" {
		return e.Create(c.Context, ctr, img)
	}
	for n := 0; ; n++ {
		next := ctr.Clone(nil)
		next.Name = old.Name + "-clone"
		if n > 0 {
			next.Name += fmt.Sprint(n)
		}
		err := e.Create(c.Context, next, img)
		var used *state.NameInUseError
		if !errors.As(err, &used) {
			*ctr = *next
			return err
		}
	}
}
