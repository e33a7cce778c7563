package runtime

import (
	"fmt"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Pause freezes all processes of a running container.
func (r *Runtime) Pause(id string) error {
	return r.freeze(id, "pause", specs.StateRunning, cgroups.Frozen)
}

// Resume thaws a paused container.
func (r *Runtime) Resume(id string) error {
	return r.freeze(id, "resume", statusPaused, cgroups.Thawed)
}

func (r *Runtime) freeze(id, verb string, want specs.ContainerState, state cgroups.FreezerState) error {
	rec, err := r.Load(id)
	if err != nil {
		return err
	}
	if st := r.Status(rec); st != want {
		return fmt.Errorf("%s container %q: it is %s, not %s", verb, id, st, want)
	}
	cg, err := needCgroup(rec, verb)
	if err != nil {
		return err
	}
	if err := cg.Freeze(state); err != nil {
		return fmt.Errorf("%s container %q: %w", verb, id, err)
	}
	return nil
}

func thaw(cg cgroups.Manager) error {
	if err := cg.Freeze(cgroups.Thawed); err != nil {
		return fmt.Errorf("thaw the container: %w", err)
	}
	return nil
}
