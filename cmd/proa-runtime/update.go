package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/docker/go-units"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

func (rc *runtimeCLI) updateCommand() *cli.Command {
	return &cli.Command{
		Name: "update", Usage: "change the limits of a container", ArgsUsage: "ID",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "take them from the JSON `FILE`, or - for standard input"},
			&cli.StringFlag{Name: "memory", Usage: "memory limit in `BYTES`"},
			&cli.StringFlag{Name: "memory-reservation", Usage: "soft memory limit in `BYTES`"},
			&cli.StringFlag{Name: "memory-swap", Usage: "limit of memory and swap in `BYTES`, -1 for none"},
			&cli.Uint64Flag{Name: "cpu-share", Usage: "relative weight"},
			&cli.Int64Flag{Name: "cpu-quota", Usage: "time in each period, in microseconds"},
			&cli.Uint64Flag{Name: "cpu-period", Usage: "period, in microseconds"},
			&cli.StringFlag{Name: "cpuset-cpus", Usage: "`CPUS` to use"},
			&cli.StringFlag{Name: "cpuset-mems", Usage: "memory `NODES` to use"},
			&cli.Int64Flag{Name: "pids-limit", Usage: "number of processes"},
			&cli.UintFlag{Name: "blkio-weight", Usage: "relative weight of block I/O"},
		},
		Action: func(c *cli.Context) error {
			id, err := oneID(c)
			if err != nil {
				return err
			}
			res, err := updateResources(c)
			if err != nil {
				return err
			}
			return rc.rt.Update(id, res)
		},
	}
}

func updateResources(c *cli.Context) (*specs.LinuxResources, error) {
	res := &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}}
	if name := c.String("resources"); name != "" {
		var in io.Reader = os.Stdin
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("read the limits: %w", err)
			}
			defer f.Close()
			in = f
		}
		if err := json.NewDecoder(in).Decode(res); err != nil {
			return nil, fmt.Errorf("read the limits %q: %w", name, err)
		}
		return res, nil
	}
	for name, to := range map[string]**int64{"memory": &res.Memory.Limit, "memory-reservation": &res.Memory.Reservation, "memory-swap": &res.Memory.Swap} {
		v := c.String(name)
		if v == "" {
			continue
		}
		n := int64(-1)
		if v != "-1" {
			var err error
			if n, err = units.RAMInBytes(v); err != nil {
				return nil, fmt.Errorf("invalid --%s %q: give bytes, with a unit such as k, m or g", name, v)
			}
		}
		*to = &n
	}
	optional(c, "cpu-share", &res.CPU.Shares, c.Uint64)
	optional(c, "cpu-quota", &res.CPU.Quota, c.Int64)
	optional(c, "cpu-period", &res.CPU.Period, c.Uint64)
	res.CPU.Cpus, res.CPU.Mems = c.String("cpuset-cpus"), c.String("cpuset-mems")
	if c.IsSet("pids-limit") {
		n := c.Int64("pids-limit")
		res.Pids = &specs.LinuxPids{Limit: &n}
	}
	if c.IsSet("blkio-weight") {
		w := uint16(c.Uint("blkio-weight"))
		res.BlockIO = &specs.LinuxBlockIO{Weight: &w}
	}
	return res, nil
}

// optional sets what was given on the command line.
func optional[T any](c *cli.Context, name string, to **T, get func(string) T) {
	if c.IsSet(name) {
		v := get(name)
		*to = &v
	}
}
