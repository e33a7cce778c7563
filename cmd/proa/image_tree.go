package main

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/image"
	"github.com/urfave/cli/v2"
)

func newImageTreeCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "tree",
		Usage:     "show an image's layers and the images that end with each",
		ArgsUsage: "IMAGE",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "whatrequires", Usage: "show what stands on the image instead"}},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return fmt.Errorf("image tree takes one image, not %d", c.NArg())
			}
			s, err := a.store(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("whatrequires") {
				img, list, err := image.Users(s, c.Args().First())
				if err != nil {
					return &exitError{1, err}
				}
				printTreeHead(a, img)
				printAbove(a, list, "")
				return nil
			}
			img, layers, err := image.Layers(s, c.Args().First())
			if err != nil {
				return &exitError{1, err}
			}
			printTreeHead(a, img)
			for n, l := range layers {
				fmt.Fprintln(a.out, branch(n == len(layers)-1)+layerLine(l))
			}
			return nil
		},
	}
}

func printTreeHead(a *app, img *image.Image) {
	names := img.RepoTags()
	if len(names) == 0 {
		names = []string{"<none>"}
	}
	fmt.Fprintf(a.out, "Image ID: %s\nTags:     %s\nSize:     %s\nImage Layers\n", img.ID[:12], strings.Join(names, ", "), units.HumanSizeWithPrecision(float64(img.Size), 3))
}

func printAbove(a *app, list []image.Above, indent string) {
	for n, l := range list {
		last := n == len(list)-1
		fmt.Fprintln(a.out, indent+branch(last)+layerLine(l.TreeLayer))
		if last {
			printAbove(a, l.Above, indent+"    ")
		} else {
			printAbove(a, l.Above, indent+"│   ")
		}
	}
}

func branch(last bool) string {
	if last {
		return "└── "
	}
	return "├── "
}

func layerLine(l image.TreeLayer) string {
	line := fmt.Sprintf("ID: %s Size: %s", l.ID[:12], units.HumanSizeWithPrecision(float64(max(l.Size, 0)), 3))
	if len(l.Names) > 0 {
		line += " Top Layer of: [" + strings.Join(l.Names, ", ") + "]"
	}
	return line
}
