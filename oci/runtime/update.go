package runtime

import (
	"fmt"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a container; what is nil or zero stays.
func (r *Runtime) Update(id string, res *specs.LinuxResources) error {
	rec, err := r.Load(id)
	if err != nil {
		return err
	}
	if st := r.Status(rec); st == specs.StateStopped {
		return fmt.Errorf("update container %q: it is not running", id)
	}
	cg, err := needCgroup(rec, "update")
	if err != nil {
		return err
	}
	conv, err := Resources(res)
	if err != nil {
		return err
	}
	conv.SkipDevices = true
	if err := cg.Set(conv); err != nil {
		return fmt.Errorf("update container %q: %w", id, limitError(cg, res, err))
	}
	return nil
}

// Stats reads the container's resource use.
func (r *Runtime) Stats(id string) (*cgroups.Stats, error) {
	rec, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	if st := r.Status(rec); st == specs.StateStopped {
		return nil, fmt.Errorf("read the statistics of container %q: it is not running", id)
	}
	cg, err := needCgroup(rec, "read the statistics of")
	if err != nil {
		return nil, err
	}
	stats, err := cg.GetStats()
	if err != nil {
		return nil, fmt.Errorf("read the statistics of container %q: %w", id, err)
	}
	return stats, nil
}
