package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func parseLog(c *cli.Context, ctr *libpod.Container) (err error) {
	log := &ctr.Log
	log.MaxFiles = 1
	if log.Driver = c.String("log-driver"); !slices.Contains([]string{"k8s-file", "json-file", "passthrough", "none"}, log.Driver) {
		return fmt.Errorf("invalid --log-driver %q: k8s-file, json-file, passthrough or none", log.Driver)
	}
	for _, o := range c.StringSlice("log-opt") {
		key, value, ok := strings.Cut(o, "=")
		if !ok || value == "" {
			return fmt.Errorf("invalid --log-opt %q: want KEY=VALUE", o)
		}
		if log.Driver != "k8s-file" && log.Driver != "json-file" {
			return fmt.Errorf("--log-opt %q has no meaning for --log-driver %s, which writes no file", o, log.Driver)
		}
		switch key {
		case "path":
			log.Path, err = filepath.Abs(value)
		case "max-size":
			if log.MaxSize, err = units.RAMInBytes(value); err == nil && log.MaxSize <= 0 && value != "-1" {
				err = fmt.Errorf("a size above 0, or -1 for no limit")
			}
			if value == "-1" {
				log.MaxSize, err = 0, nil
			}
		case "max-file":
			if log.MaxFiles, err = strconv.Atoi(value); err == nil && log.MaxFiles < 1 {
				err = fmt.Errorf("a number from 1")
			}
		default:
			err = fmt.Errorf("path, max-size or max-file")
		}
		if err != nil {
			return fmt.Errorf("invalid --log-opt %q: %w", o, err)
		}
	}
	return nil
}
