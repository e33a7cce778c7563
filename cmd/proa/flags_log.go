package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/urfave/cli/v2"
)

// What a log that the container does not wait for may buffer; defaultBuffer is Docker's default.
const (
	defaultBuffer = 1 << 20
	minBuffer     = 4 << 10
	maxBuffer     = 1 << 30
)

// logOptions are the options that a log driver takes.
func logOptions(driver string) []string {
	file := []string{"path", "max-size", "max-file", "compress", "mode", "max-buffer-size"}
	marks := []string{"tag", "labels", "labels-regex", "env", "env-regex"}
	switch driver {
	case "k8s-file":
		return file
	case "json-file":
		return append(file, marks...)
	case "journald":
		return append(marks, "mode", "max-buffer-size")
	}
	return nil
}

func parseLog(c *cli.Context, ctr *libpod.Container) error {
	log := &ctr.Log
	log.MaxFiles = 1
	if log.Driver = c.String("log-driver"); !slices.Contains(libpod.LogDrivers(), log.Driver) {
		return fmt.Errorf("invalid --log-driver %q: %s", log.Driver, strings.Join(libpod.LogDrivers(), ", "))
	}
	for _, o := range c.StringSlice("log-opt") {
		key, value, ok := strings.Cut(o, "=")
		if !ok || value == "" {
			return fmt.Errorf("invalid --log-opt %q: want KEY=VALUE", o)
		}
		takes := logOptions(log.Driver)
		if len(takes) == 0 {
			return fmt.Errorf("--log-opt %q has no meaning for --log-driver %s, which keeps nothing", o, log.Driver)
		}
		if !slices.Contains(takes, key) {
			return fmt.Errorf("invalid --log-opt %q: --log-driver %s takes %s", o, log.Driver, strings.Join(takes, ", "))
		}
		if log.Options == nil {
			log.Options = map[string]string{}
		}
		log.Options[key] = value
		if err := setLogOption(log, key, value); err != nil {
			return fmt.Errorf("invalid --log-opt %q: %w", o, err)
		}
	}
	if log.MaxFiles > 1 && log.MaxSize == 0 {
		return errors.New("--log-opt max-file needs max-size: without it the log is never rotated")
	}
	if log.Compress && log.MaxFiles == 1 {
		return errors.New("--log-opt compress=true needs max-size and a max-file of 2 or more: it compresses the files that were rotated away")
	}
	if log.Buffer > 0 && log.Options["mode"] != "non-blocking" {
		return errors.New("--log-opt max-buffer-size needs mode=non-blocking: without it the container waits and nothing is buffered")
	}
	if log.Options["mode"] == "non-blocking" && log.Buffer == 0 {
		log.Buffer = defaultBuffer
	}
	return libpod.CheckLog(ctr)
}

// setLogOption sets what is not only a mark on the lines.
func setLogOption(log *monitor.Log, key, value string) (err error) {
	switch key {
	case "path":
		log.Path, err = filepath.Abs(value)
	case "max-size":
		if value == "-1" {
			log.MaxSize = 0
			return nil
		}
		if log.MaxSize, err = units.RAMInBytes(value); err == nil && log.MaxSize <= 0 {
			err = errors.New("a size above 0, or -1 for no limit")
		}
	case "max-file":
		if log.MaxFiles, err = strconv.Atoi(value); err == nil && log.MaxFiles < 1 {
			err = errors.New("a number from 1")
		}
	case "compress":
		if log.Compress, err = strconv.ParseBool(value); err != nil {
			err = errors.New("true or false")
		}
	case "mode":
		if value != "blocking" && value != "non-blocking" {
			err = errors.New("blocking or non-blocking")
		}
	case "max-buffer-size":
		if log.Buffer, err = units.RAMInBytes(value); err == nil && (log.Buffer < minBuffer || log.Buffer > maxBuffer) {
			err = errors.New("a size from 4k to 1g")
		}
	}
	return err
}
