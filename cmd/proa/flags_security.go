package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func securityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "privileged", Usage: "all capabilities over the container's user namespace, nothing masked, no seccomp filter, the host's devices"},
		stringList("cap-add", "", "add a `CAPABILITY`, or ALL"),
		stringList("cap-drop", "", "drop a `CAPABILITY`, or ALL"),
		stringList("security-opt", "", "`OPTION`: no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, label=disable, mask=PATH[:PATH], unmask=ALL|PATH[:PATH], systempaths=unconfined"),
	}
}

func parseSecurity(c *cli.Context, s *spec.Security) error {
	s.Privileged = c.Bool("privileged")
	for _, f := range []struct {
		name string
		list *[]string
	}{{"cap-add", &s.CapAdd}, {"cap-drop", &s.CapDrop}} {
		for _, v := range c.StringSlice(f.name) {
			for _, one := range strings.Split(v, ",") {
				name, err := spec.ParseCapability(one)
				if err != nil {
					return fmt.Errorf("invalid --%s: %w", f.name, err)
				}
				*f.list = append(*f.list, name)
			}
		}
	}
	for _, o := range c.StringSlice("security-opt") {
		if err := parseSecurityOpt(o, s); err != nil {
			return err
		}
	}
	return nil
}

func parseSecurityOpt(o string, s *spec.Security) error {
	key, value := o, ""
	if i := strings.IndexAny(o, "=:"); i >= 0 { // Docker's old form has a colon
		key, value = o[:i], o[i+1:]
	}
	bad := func(want string) error { return fmt.Errorf("invalid --security-opt %q: want %s", o, want) }
	switch key {
	case "no-new-privileges":
		if value == "" && key == o {
			value = "true"
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return bad("no-new-privileges[=true|false]")
		}
		s.NoNewPrivileges = on
	case "seccomp":
		return seccompOpt(value, s, bad)
	case "apparmor":
		return apparmorOpt(value, s, bad)
	case "label":
		if value != "disable" {
			return fmt.Errorf("--security-opt %q needs SELinux, which proa does not support yet; only label=disable", o)
		}
		s.Label = value
	case "mask", "unmask":
		list := &s.Mask
		if key == "unmask" {
			list = &s.Unmask
		}
		for _, p := range strings.Split(value, ":") {
			if !path.IsAbs(p) && !(key == "unmask" && strings.EqualFold(p, "all")) {
				return bad(key + "=PATH[:PATH], each absolute")
			}
			*list = append(*list, p)
		}
	case "systempaths":
		if value != "unconfined" {
			return bad("systempaths=unconfined")
		}
		s.Unmask = append(s.Unmask, "ALL")
	default:
		return bad("one of no-new-privileges, seccomp, apparmor, label, mask, unmask, systempaths")
	}
	return nil
}

func seccompOpt(value string, s *spec.Security, bad func(string) error) error {
	switch value {
	case "":
		return bad("seccomp=FILE, seccomp=builtin or seccomp=unconfined")
	case "builtin":
		s.Seccomp = ""
		return nil
	case "unconfined":
		s.Seccomp = value
		return nil
	}
	abs, err := filepath.Abs(value)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		return fmt.Errorf("opening the seccomp profile: %w", err)
	}
	s.Seccomp = abs
	return nil
}

func apparmorOpt(value string, s *spec.Security, bad func(string) error) error {
	switch value {
	case "":
		return bad("apparmor=PROFILE or apparmor=unconfined")
	case "unconfined":
		s.AppArmor = ""
		return nil
	}
	if b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || !strings.HasPrefix(string(b), "Y") {
		return fmt.Errorf("--security-opt apparmor=%s can't be applied: this kernel does not have AppArmor enabled", value)
	}
	s.AppArmor = value
	return nil
}
