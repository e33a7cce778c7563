package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func healthFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "health-cmd", Usage: "`COMMAND` that checks the container's health: a shell's, or a JSON array"},
		&cli.StringFlag{Name: "health-http", Usage: "check its health by a GET of `URL`, or PORT[/PATH], from its network and without a program in it"},
		&cli.StringFlag{Name: "health-tcp", Usage: "check its health by a connection to `[ADDRESS:]PORT`, from its network and without a program in it"},
		&cli.StringFlag{Name: "health-interval", Usage: "`DURATION` between two checks (default: the image's, else 30s)"},
		&cli.StringFlag{Name: "health-timeout", Usage: "`DURATION` that a check may take (default: the image's, else 30s)"},
		&cli.StringFlag{Name: "health-start-period", Usage: "`DURATION` from the start in which a failure does not count (default: the image's, else 0s)"},
		&cli.StringFlag{Name: "health-start-interval", Usage: "`DURATION` between two checks in the start period (default: the image's, else 5s)"},
		&cli.IntFlag{Name: "health-retries", Usage: "`NUMBER` of failures in a row that make it unhealthy (default: the image's, else 3)"},
		&cli.StringFlag{Name: "health-on-failure", Usage: "`ACTION` when it becomes unhealthy: none, kill, restart or stop (default: none)"},
		&cli.BoolFlag{Name: "no-healthcheck", Usage: "no health check, also when the image has one"},
	}
}

// parseHealth reads the options of the health check; what none names is as it is, at first the image's.
func parseHealth(c *cli.Context, ctr *libpod.Container) (err error) {
	set := slices.DeleteFunc(healthFlags(), func(f cli.Flag) bool { return !c.IsSet(f.Names()[0]) })
	if len(set) == 0 {
		return nil
	}
	h := &spec.Health{}
	if old := ctr.Config.Health; old != nil {
		*h = *old
	}
	if c.Bool("no-healthcheck") {
		if len(set) > 1 {
			return fmt.Errorf("--no-healthcheck and --%s contradict each other", slices.DeleteFunc(set, func(f cli.Flag) bool { return f.Names()[0] == "no-healthcheck" })[0].Names()[0])
		}
		ctr.Config.Health = &spec.Health{Test: []string{spec.HealthNone}}
		return nil
	}
	if c.IsSet("no-healthcheck") && len(set) == 1 {
		return nil
	}
	ctr.Config.Health = h
	if test, err := healthTest(c); err != nil {
		return err
	} else if test != nil {
		h.Test = test
	}
	for flag, to := range map[string]*time.Duration{"health-interval": &h.Interval, "health-timeout": &h.Timeout,
		"health-start-period": &h.StartPeriod, "health-start-interval": &h.StartInterval} {
		if err := healthDuration(c, flag, to); err != nil {
			return err
		}
	}
	if n := c.Int("health-retries"); n < 0 {
		return fmt.Errorf("invalid --health-retries %d: a number from 1, 0 for the default", n)
	} else if c.IsSet("health-retries") {
		h.Retries = n
	}
	return healthAction(c, ctr.AutoRemove, h)
}

// healthAction reads what becomes of an unhealthy container.
func healthAction(c *cli.Context, remove bool, h *spec.Health) error {
	if !c.IsSet("health-on-failure") {
		return nil
	}
	switch h.OnFailure = c.String("health-on-failure"); h.OnFailure {
	case "none", "":
		h.OnFailure = ""
	case monitor.Kill, monitor.Stop:
	case monitor.Restart:
		if remove {
			return errors.New("--rm and --health-on-failure restart exclude each other: a container that is removed when it ends can't be started again")
		}
	default:
		return fmt.Errorf("invalid --health-on-failure %q: none, kill, restart or stop", h.OnFailure)
	}
	return nil
}

// healthTest is what is checked, nil when no option says.
func healthTest(c *cli.Context) ([]string, error) {
	var test []string
	for _, flag := range []string{"health-cmd", "health-http", "health-tcp"} {
		s := c.String(flag)
		if !c.IsSet(flag) {
			continue
		}
		if test != nil {
			return nil, errors.New("--health-cmd, --health-http and --health-tcp exclude each other: a container has one health check")
		}
		var err error
		switch flag {
		case "health-http":
			test = []string{spec.HealthHTTP, s}
			_, err = libpod.HTTPEndpoint(s)
		case "health-tcp":
			test = []string{spec.HealthTCP, s}
			_, err = libpod.TCPEndpoint(s)
		default:
			test, err = healthCommand(s)
		}
		if err != nil {
			return nil, fmt.Errorf("invalid --%s %q: %w", flag, s, err)
		}
	}
	return test, nil
}

func healthCommand(s string) ([]string, error) {
	switch {
	case strings.TrimSpace(s) == "":
		return nil, errors.New("it is empty; --no-healthcheck turns the image's off")
	case s == "none": // Podman's word
		return []string{spec.HealthNone}, nil
	case strings.HasPrefix(strings.TrimSpace(s), "["):
		var args []string
		if json.Unmarshal([]byte(s), &args) == nil {
			if len(args) == 0 || args[0] == "" {
				return nil, errors.New("the array has no command")
			}
			if slices.Contains([]string{spec.HealthCommand, spec.HealthShell, spec.HealthNone}, args[0]) {
				return args, nil
			}
			return append([]string{spec.HealthCommand}, args...), nil
		}
	}
	return []string{spec.HealthShell, s}, nil
}

func healthDuration(c *cli.Context, flag string, to *time.Duration) error {
	if !c.IsSet(flag) {
		return nil
	}
	d, err := time.ParseDuration(c.String(flag))
	if err != nil || d < 0 || d > 0 && d < time.Millisecond {
		return fmt.Errorf("invalid --%s %q: a duration from 1ms, as 1m30s, or 0s for the default", flag, c.String(flag))
	}
	*to = d
	return nil
}
