package runtime

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/proa-containers/proa/oci/plan"
)

// createRuntime runs the prestart and createRuntime hooks and gives the state for the container's own hooks.
func (r *Runtime) createRuntime(rec *Record) ([]byte, error) {
	state, err := json.Marshal(rec.OCIState(specs.StateCreating))
	if err != nil {
		return nil, err
	}
	h := rec.Config.Hooks
	if h == nil {
		return state, nil
	}
	created, err := json.Marshal(rec.OCIState(specs.StateCreated)) // what prestart hooks have always been given
	if err != nil {
		return nil, err
	}
	if err := runHooks("prestart", hooks(h.Prestart), created); err != nil { //nolint:staticcheck // deprecated, still to be run
		return nil, err
	}
	return state, runHooks("createRuntime", hooks(h.CreateRuntime), state)
}

func runHooks(name string, hs []plan.Hook, state []byte) error {
	for i := range hs {
		if err := hs[i].Run(state); err != nil {
			return fmt.Errorf("run the %s hook %d %q: %w", name, i, hs[i].Path, err)
		}
	}
	return nil
}

// poststart runs hooks whose failure is only logged, as the specification wants it (lifecycle, steps 9 and 13).
func (r *Runtime) poststart(rec *Record) { r.lateHooks(rec, "poststart", specs.StateRunning) }

func (r *Runtime) poststop(rec *Record) { r.lateHooks(rec, "poststop", specs.StateStopped) }

func (r *Runtime) lateHooks(rec *Record, name string, status specs.ContainerState) {
	h := rec.Config.Hooks
	if h == nil {
		return
	}
	list := h.Poststart
	if name == "poststop" {
		list = h.Poststop
	}
	state, err := json.Marshal(rec.OCIState(status))
	if err != nil {
		slog.Warn("encode the state for a hook", "error", err)
		return
	}
	for _, one := range hooks(list) {
		if err := one.Run(state); err != nil {
			slog.Warn("run a hook", "kind", name, "path", one.Path, "error", err)
		}
	}
}
