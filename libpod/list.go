package libpod

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
)

// Listed is a container and how it was found.
type Listed struct {
	*Container
	Status Status
	Health *monitor.HealthState // nil without a health check
	Bound  []Bound              // published ports
}

// List returns all containers, the newest first. What has ended is settled on the way.
func (e *Engine) List(ctx context.Context) ([]Listed, error) {
	records, err := e.state.List()
	if err != nil {
		return nil, err
	}
	out := make([]Listed, 0, len(records))
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := decode(r)
		if err != nil {
			return nil, err
		}
		st, err := e.settle(c)
		if err == nil && st.State != Running && st.State != Paused {
			err = e.whole(c)
		}
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			e.warn(fmt.Errorf("tidying up after container %q: %w", c.Name, err))
		}
		if c.AutoRemove && (st.State == Exited || st.State == Created && st.MonitorPID == 0) {
			if _, err := e.state.Find(c.ID); err != nil {
				continue
			}
		}
		listed := Listed{Container: c, Status: st, Health: e.Health(c, st)}
		if st.PID != 0 {
			if listed.Bound, err = e.Bound(c); err != nil {
				e.warn(err)
			}
		}
		out = append(out, listed)
	}
	if err := e.sweepUnknown(records); err != nil {
		e.warn(fmt.Errorf("removing what killed commands left: %w", err))
	}
	if err := e.healNetd(); err != nil {
		e.warn(fmt.Errorf("mending the networks: %w", err))
	}
	slices.SortStableFunc(out, func(a, b Listed) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// Refresh settles c and returns how it is.
func (e *Engine) Refresh(c *Container) (Status, error) { return e.settle(c) }
