package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"
)

// version is set by the Makefile.
var version = "unknown"

// component is a program's version, in Docker's shape.
type component struct {
	Version, GoVersion, Os, Arch string
}

func newVersionCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "show proa's version",
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "json or a Go `TEMPLATE`"}},
		Action: func(c *cli.Context) error {
			me := component{version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			// There is no daemon: the client is the engine, and scripts that ask for either are answered.
			v := struct{ Client, Server component }{me, me}
			switch f := c.String("format"); f {
			case "":
				fmt.Fprintf(a.out, "proa %s\n  Go version  %s\n  OS/Arch     %s/%s\n", me.Version, me.GoVersion, me.Os, me.Arch)
				return nil
			case "json":
				return json.NewEncoder(a.out).Encode(v)
			default:
				t, err := parseTemplate(f)
				if err != nil {
					return err
				}
				return t.print(a.out, v)
			}
		},
	}
}
