package main

import (
	"errors"
	"time"

	"github.com/proa-containers/proa/libpod"
)

// cpuTime is what a container had used of the processors at one moment.
type cpuTime struct {
	used time.Duration
	at   time.Time
}

// reading is one container's row in the making; without a gauge it does not run.
type reading struct {
	*libpod.Container
	gauge *libpod.Gauge
	cpu   cpuTime
	libpod.Usage
}

// read reads all that run; one that ends meanwhile has no gauge from then on.
func read(list []*reading, one func(*reading) error) error {
	for _, r := range list {
		if r.gauge == nil {
			continue
		}
		err := one(r)
		var wrong *libpod.WrongStateError
		if errors.As(err, &wrong) {
			r.gauge, err = nil, nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) readCPU() (err error) {
	r.cpu.used, r.cpu.at, err = r.gauge.CPU()
	return err
}

func (r *reading) readUsage() (err error) {
	r.Usage, err = r.gauge.Usage()
	return err
}
