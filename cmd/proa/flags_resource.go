package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

// minMemory is Docker's lowest memory limit: with less a process can hardly start.
const minMemory = 6 << 20

func resourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "limit memory to `SIZE`, as 512m"},
		&cli.StringFlag{Name: "memory-swap", Usage: "limit memory and swap together to `SIZE`, -1 for no limit on swap (default: twice the memory)"},
		&cli.StringFlag{Name: "cpus", Usage: "limit to a `NUMBER` of CPUs, as 1.5"},
		&cli.StringFlag{Name: "cpu-shares", Aliases: []string{"c"}, Usage: "relative `WEIGHT` of CPU time (1024 is everyone's)"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "run on `CPUS` only, as 0-2,4"},
		&cli.StringFlag{Name: "pids-limit", Usage: "limit the processes to a `NUMBER`, -1 for no limit"},
	}
}

func parseResources(c *cli.Context, r *spec.Resources) (err error) {
	if c.IsSet("memory") {
		if r.Memory, err = parseSize(c, "memory"); err != nil {
			return err
		}
		if r.Memory != 0 && r.Memory < minMemory {
			return fmt.Errorf("invalid --memory %q: at least 6m", c.String("memory"))
		}
	}
	if err := parseSwap(c, r); err != nil {
		return err
	}
	if s := c.String("cpus"); c.IsSet("cpus") {
		if r.CPUs, err = strconv.ParseFloat(s, 64); err != nil || r.CPUs < 0 || math.IsNaN(r.CPUs) || r.CPUs > 1<<20 || r.CPUs != 0 && r.CPUs < 0.01 {
			return fmt.Errorf("invalid --cpus %q: a number from 0.01, 0 for no limit", s)
		}
	}
	if s := c.String("cpu-shares"); c.IsSet("cpu-shares") {
		if r.CPUShares, err = strconv.ParseUint(s, 10, 64); err != nil || r.CPUShares == 1 || r.CPUShares > 262144 {
			return fmt.Errorf("invalid --cpu-shares %q: a number from 2 to 262144, 0 for the default", s)
		}
	}
	if s := c.String("cpuset-cpus"); c.IsSet("cpuset-cpus") {
		if r.CPUSet = s; !cpuList().MatchString(s) {
			return fmt.Errorf("invalid --cpuset-cpus %q: numbers and ranges, as 0-2,4", s)
		}
	}
	if s := c.String("pids-limit"); c.IsSet("pids-limit") {
		if r.PidsLimit, err = strconv.ParseInt(s, 10, 64); err != nil || r.PidsLimit < -1 {
			return fmt.Errorf("invalid --pids-limit %q: a number, 0 or -1 for no limit", s)
		}
		r.PidsLimit = max(r.PidsLimit, 0)
	}
	return nil
}

func cpuList() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)
}

func parseSwap(c *cli.Context, r *spec.Resources) (err error) {
	if !c.IsSet("memory-swap") {
		return nil
	}
	if r.Memory == 0 {
		return errors.New("--memory-swap needs --memory: it is the sum of memory and swap")
	}
	if c.String("memory-swap") == "-1" {
		r.MemorySwap = -1
		return nil
	}
	if r.MemorySwap, err = parseSize(c, "memory-swap"); err != nil {
		return fmt.Errorf("%w, -1 for no limit on swap", err)
	}
	if r.MemorySwap != 0 && r.MemorySwap < r.Memory {
		return fmt.Errorf("invalid --memory-swap %q: it includes the memory, so it is at least %s", c.String("memory-swap"), units.BytesSize(float64(r.Memory)))
	}
	return nil
}
