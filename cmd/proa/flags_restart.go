package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/urfave/cli/v2"
)

func restartFlag() cli.Flag {
	return &cli.StringFlag{Name: "restart", Usage: "`POLICY` when the container ends: no, on-failure[:MAX-RESTARTS], always or unless-stopped (default: no)"}
}

// parseRestart reads --restart.
func parseRestart(c *cli.Context, ctr *libpod.Container) (err error) {
	if !c.IsSet("restart") {
		return nil
	}
	if ctr.Restart, err = restartPolicy(c.String("restart")); err != nil {
		return err
	}
	if ctr.AutoRemove && ctr.Restart.Name != "" {
		return errors.New("--rm and --restart exclude each other: a container that is removed when it ends can't be started again")
	}
	return nil
}

func restartPolicy(s string) (monitor.Policy, error) {
	name, limit, limited := strings.Cut(s, ":")
	switch name {
	case "no", "":
		if limited {
			break
		}
		return monitor.Policy{}, nil
	case monitor.Always, monitor.UnlessStopped:
		if limited {
			return monitor.Policy{}, fmt.Errorf("invalid --restart %q: only on-failure takes a number of restarts", s)
		}
		return monitor.Policy{Name: name}, nil
	case monitor.OnFailure:
		if !limited {
			return monitor.Policy{Name: name}, nil
		}
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return monitor.Policy{}, fmt.Errorf("invalid --restart %q: %q is no number of restarts", s, limit)
		}
		return monitor.Policy{Name: name, Max: n}, nil
	}
	return monitor.Policy{}, fmt.Errorf("invalid --restart %q: no, on-failure[:MAX-RESTARTS], always or unless-stopped", s)
}
