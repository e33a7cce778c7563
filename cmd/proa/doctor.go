package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/proa-containers/proa/libpod/host"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func newDoctorCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check this host, and say how to mend what is missing",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print the checks as JSON"},
			&cli.StringFlag{Name: "probe-overlay", Hidden: true},
			&cli.BoolFlag{Name: "probe-mount", Hidden: true},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("probe-mount") {
				return host.ProbeMount()
			}
			if dir := c.String("probe-overlay"); dir != "" {
				return host.ProbeOverlay(dir)
			}
			if c.NArg() > 0 {
				return fmt.Errorf("doctor takes no argument, and got %q", c.Args().First())
			}
			checks := host.Local().Checks(c.Context)
			var err error
			if c.Bool("json") {
				enc := json.NewEncoder(a.out)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				err = enc.Encode(checks)
			} else {
				err = printChecks(a.out, checks, colored(a.out))
			}
			if err == nil && host.Lacking(checks) {
				return &exitError{code: 1}
			}
			return err
		},
	}
}

// colored tells whether w is a terminal whose user has not asked for plain text (no-color.org).
func colored(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

func printChecks(w io.Writer, checks []host.Check, color bool) error {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	for _, c := range checks {
		mark, sgr := "ok", "32"
		switch c.Status {
		case host.Warning:
			mark, sgr = "!!", "33"
		case host.Missing:
			mark, sgr = "XX", "31"
		}
		if color {
			mark = "\x1b[" + sgr + "m" + mark + "\x1b[0m"
		}
		text := fmt.Sprintf("%s  %-*s  %s\n", mark, width, c.Name, c.Found)
		if c.Status != host.OK {
			text += fmt.Sprintf("    needed for: %s\n    remedy:     %s\n", c.Needed, c.Remedy)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return fmt.Errorf("printing the checks: %w", err)
		}
	}
	return nil
}
