package perform

import (
	"encoding/json"
	"fmt"

	"github.com/proa-containers/proa/oci/plan"
)

// runtimeHooks has the launcher run the prestart and createRuntime hooks, in its namespaces.
func (p *performer) runtimeHooks() error {
	if !p.Hooks.CreateRuntime && len(p.Hooks.CreateContainer) == 0 && len(p.Hooks.StartContainer) == 0 {
		return nil
	}
	g, err := p.link.await(plan.MsgRuntimeHooks)
	if err != nil {
		return err
	}
	p.pid, p.state = g.Pid, g.State
	return nil
}

func (p *performer) containerHooks() error {
	return p.runHooks("createContainer", p.Hooks.CreateContainer, "creating")
}

// runHooks runs hooks in the container's namespaces. os/exec forks from this locked thread, so they are inherited.
func (p *performer) runHooks(name string, hooks []plan.Hook, status string) error {
	for i, h := range hooks {
		if err := h.Run(withStatus(p.state, status)); err != nil {
			return &plan.Error{Step: fmt.Sprintf("run the %s hook %d %q", name, i, h.Path), Text: err.Error()}
		}
	}
	return nil
}

func withStatus(state []byte, status string) []byte {
	m := map[string]any{}
	if json.Unmarshal(state, &m) != nil {
		return state
	}
	m["status"] = status
	b, err := json.Marshal(m)
	if err != nil {
		return state
	}
	return b
}
