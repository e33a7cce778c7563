package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/oci/runtime"
)

// idCommand is a command that takes a container id and nothing else.
func idCommand(name, usage string, do func(id string) error) *cli.Command {
	return &cli.Command{Name: name, Usage: usage, ArgsUsage: "ID", Action: func(c *cli.Context) error {
		id, err := oneID(c)
		if err != nil {
			return err
		}
		return do(id)
	}}
}

func (rc *runtimeCLI) startCommand() *cli.Command {
	return idCommand("start", "run the command of a created container", func(id string) error { return rc.rt.Start(id) })
}

func (rc *runtimeCLI) pauseCommand() *cli.Command {
	return idCommand("pause", "freeze a container", func(id string) error { return rc.rt.Pause(id) })
}

func (rc *runtimeCLI) resumeCommand() *cli.Command {
	return idCommand("resume", "thaw a container", func(id string) error { return rc.rt.Resume(id) })
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (rc *runtimeCLI) stateCommand() *cli.Command {
	return idCommand("state", "print the state of a container", func(id string) error {
		rec, err := rc.rt.Load(id)
		if err != nil {
			return err
		}
		st := rec.OCIState(rc.rt.Status(rec))
		// What other runtimes print beyond the specification and engines have come to read.
		return printJSON(struct {
			*specs.State
			Rootfs  string    `json:"rootfs"`
			Created time.Time `json:"created"`
			Owner   string    `json:"owner"`
		}{st, rec.Rootfs, rec.Created, ownerName(rec.Owner)})
	})
}

func ownerName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func (rc *runtimeCLI) killCommand() *cli.Command {
	return &cli.Command{
		Name: "kill", Usage: "send a signal to a container", ArgsUsage: "ID [SIGNAL]",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send it to all processes"}},
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 || c.NArg() > 2 {
				return fmt.Errorf("kill takes a container id and a signal, not %d arguments", c.NArg())
			}
			name := c.Args().Get(1)
			if name == "" {
				name = "TERM"
			}
			sig, err := runtime.ParseSignal(name)
			if err != nil {
				return err
			}
			return rc.rt.Kill(c.Args().First(), sig, c.Bool("all"))
		},
	}
}

func (rc *runtimeCLI) deleteCommand() *cli.Command {
	return &cli.Command{
		Name: "delete", Usage: "delete a container", ArgsUsage: "ID",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill it first if it runs; an absent one is no error"}},
		Action: func(c *cli.Context) error {
			id, err := oneID(c)
			if err != nil {
				return err
			}
			return rc.rt.Delete(id, c.Bool("force"))
		},
	}
}

func (rc *runtimeCLI) psCommand() *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "list the processes of a container", ArgsUsage: "ID [PS-OPTION...]",
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "table or json", Value: "table"}},
		Action: func(c *cli.Context) error {
			pids, err := rc.rt.Pids(c.Args().First())
			if err != nil {
				return err
			}
			switch c.String("format") {
			case "json":
				return json.NewEncoder(os.Stdout).Encode(append([]int{}, pids...))
			case "table":
				return printProcesses(pids, c.Args().Tail())
			}
			return fmt.Errorf("unknown --format %q; it is table or json", c.String("format"))
		},
	}
}

// printProcesses filters the output of ps(1).
func printProcesses(pids []int, args []string) error {
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	out, err := exec.Command("ps", args...).Output()
	if err != nil {
		return fmt.Errorf("run ps: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return errors.New("the output of ps has no column PID; choose options that print it")
	}
	fmt.Println(lines[0])
	for _, l := range lines[1:] {
		f := strings.Fields(l)
		if len(f) <= column {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err == nil && slices.Contains(pids, pid) {
			fmt.Println(l)
		}
	}
	return nil
}

func (rc *runtimeCLI) featuresCommand() *cli.Command {
	return &cli.Command{Name: "features", Usage: "print what this runtime supports", Action: func(*cli.Context) error {
		yes := true
		return printJSON(runtime.Features(&features.Seccomp{Enabled: &yes}))
	}}
}

func (rc *runtimeCLI) specCommand() *cli.Command {
	return &cli.Command{
		Name: "spec", Usage: "write a config.json to start from",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "write it to `DIR`", Value: "."},
			&cli.BoolFlag{Name: "rootless", Usage: "with a user namespace for the calling user"},
		},
		Action: func(c *cli.Context) error {
			name := c.String("bundle") + "/config.json"
			f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%q exists; remove it first", name)
			}
			if err != nil {
				return fmt.Errorf("write the configuration: %w", err)
			}
			defer f.Close()
			e := json.NewEncoder(f)
			e.SetIndent("", "  ")
			return e.Encode(runtime.NewSpec(c.Bool("rootless"), os.Getuid(), os.Getgid()))
		},
	}
}

func (rc *runtimeCLI) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list containers",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "table or json", Value: "table"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids only"},
		},
		Action: rc.list,
	}
}

// listed is one line of list, with the names other runtimes use.
type listed struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

func (rc *runtimeCLI) list(c *cli.Context) error {
	recs, err := rc.rt.List()
	if err != nil {
		return err
	}
	out := []listed{}
	for _, r := range recs {
		st := r.OCIState(rc.rt.Status(r))
		out = append(out, listed{st.Version, st.ID, st.Pid, st.Status, st.Bundle, r.Rootfs, r.Created, st.Annotations, ownerName(r.Owner)})
	}
	if c.Bool("quiet") {
		for _, l := range out {
			fmt.Println(l.ID)
		}
		return nil
	}
	switch c.String("format") {
	case "json":
		return json.NewEncoder(os.Stdout).Encode(out)
	case "table":
		w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
		fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
		for _, l := range out {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", l.ID, l.Pid, l.Status, l.Bundle, l.Created.Format(time.RFC3339Nano), l.Owner)
		}
		return w.Flush()
	}
	return fmt.Errorf("unknown --format %q; it is table or json", c.String("format"))
}

func (rc *runtimeCLI) eventsCommand() *cli.Command {
	return &cli.Command{
		Name: "events", Usage: "print a container's resource use", ArgsUsage: "ID",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "stats", Usage: "print it once"},
			&cli.DurationFlag{Name: "interval", Usage: "print it every `DURATION`", Value: 5 * time.Second},
		},
		Action: func(c *cli.Context) error {
			id, err := oneID(c)
			if err != nil {
				return err
			}
			for {
				s, err := rc.rt.Stats(id)
				if err != nil {
					return err
				}
				if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"type": "stats", "id": id, "data": s}); err != nil || c.Bool("stats") {
					return err
				}
				time.Sleep(c.Duration("interval"))
			}
		},
	}
}
