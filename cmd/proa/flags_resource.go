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
		&cli.StringFlag{Name: "memory-reservation", Usage: "`SIZE` of memory that is taken away last when the host runs short"},
		&cli.StringFlag{Name: "cpus", Usage: "limit to a `NUMBER` of CPUs, as 1.5"},
		&cli.StringFlag{Name: "cpu-shares", Aliases: []string{"c"}, Usage: "relative `WEIGHT` of CPU time (1024 is everyone's)"},
		&cli.StringFlag{Name: "cpu-period", Usage: "`MICROSECONDS` of a period of --cpu-quota (default: 100000)"},
		&cli.StringFlag{Name: "cpu-quota", Usage: "`MICROSECONDS` of CPU time in each period"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "run on `CPUS` only, as 0-2,4"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "take memory from `NODES` only, as 0-2,4"},
		&cli.StringFlag{Name: "pids-limit", Usage: "limit the processes to a `NUMBER`, -1 for no limit"},
		&cli.StringFlag{Name: "blkio-weight", Usage: "relative `WEIGHT` of block input and output, 10 to 1000 (0: the default)"},
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
	if c.IsSet("memory-reservation") {
		if r.Reserved, err = parseSize(c, "memory-reservation"); err != nil {
			return err
		}
	}
	if r.Reserved != 0 && r.Memory != 0 && r.Reserved > r.Memory {
		return fmt.Errorf("--memory-reservation %s is more than --memory %s: it is a part of it", units.BytesSize(float64(r.Reserved)), units.BytesSize(float64(r.Memory)))
	}
	if err := parseCPU(c, r); err != nil {
		return err
	}
	if s := c.String("pids-limit"); c.IsSet("pids-limit") {
		if r.PidsLimit, err = strconv.ParseInt(s, 10, 64); err != nil || r.PidsLimit < -1 {
			return fmt.Errorf("invalid --pids-limit %q: a number, 0 or -1 for no limit", s)
		}
		r.PidsLimit = max(r.PidsLimit, 0)
	}
	if s := c.String("blkio-weight"); c.IsSet("blkio-weight") {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n != 0 && (n < 10 || n > 1000) {
			return fmt.Errorf("invalid --blkio-weight %q: a number from 10 to 1000, 0 for the default", s)
		}
		r.IOWeight = uint16(n)
	}
	return nil
}

func parseCPU(c *cli.Context, r *spec.Resources) (err error) {
	if c.IsSet("cpus") && (c.IsSet("cpu-period") || c.IsSet("cpu-quota")) {
		return errors.New("--cpus and --cpu-period or --cpu-quota exclude each other: they say the same")
	}
	if s := c.String("cpus"); c.IsSet("cpus") {
		if r.CPUs, err = strconv.ParseFloat(s, 64); err != nil || r.CPUs < 0 || math.IsNaN(r.CPUs) || r.CPUs > 1<<20 || r.CPUs != 0 && r.CPUs < 0.01 {
			return fmt.Errorf("invalid --cpus %q: a number from 0.01, 0 for no limit", s)
		}
		r.CPUPeriod, r.CPUQuota = 0, 0
	}
	if s := c.String("cpu-period"); c.IsSet("cpu-period") {
		if r.CPUPeriod, err = strconv.ParseUint(s, 10, 64); err != nil || r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000) {
			return fmt.Errorf("invalid --cpu-period %q: microseconds from 1000 to 1000000, 0 for the default", s)
		}
		r.CPUs = 0
	}
	if s := c.String("cpu-quota"); c.IsSet("cpu-quota") {
		if r.CPUQuota, err = strconv.ParseInt(s, 10, 64); err != nil || r.CPUQuota < -1 || r.CPUQuota > 0 && r.CPUQuota < 1000 {
			return fmt.Errorf("invalid --cpu-quota %q: microseconds from 1000, 0 or -1 for no limit", s)
		}
		r.CPUQuota, r.CPUs = max(r.CPUQuota, 0), 0
	}
	if s := c.String("cpu-shares"); c.IsSet("cpu-shares") {
		if r.CPUShares, err = strconv.ParseUint(s, 10, 64); err != nil || r.CPUShares == 1 || r.CPUShares > 262144 {
			return fmt.Errorf("invalid --cpu-shares %q: a number from 2 to 262144, 0 for the default", s)
		}
	}
	for name, to := range map[string]*string{"cpuset-cpus": &r.CPUSet, "cpuset-mems": &r.CPUSetMems} {
		if s := c.String(name); c.IsSet(name) {
			if *to = s; !cpuList().MatchString(s) {
				return fmt.Errorf("invalid --%s %q: numbers and ranges, as 0-2,4", name, s)
			}
		}
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
