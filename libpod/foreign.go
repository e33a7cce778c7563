package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/libpod/cgroup"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/monitor"
)

// foreignRuntime is the runtime that c asks for in place of the bundled one.
func (e *Engine) foreignRuntime(c *Container) (driver.Runtime, error) {
	path, err := driver.Find(c.Runtime, os.Getenv("PATH"))
	if err != nil {
		return driver.Runtime{}, err
	}
	rt := driver.Runtime{Args: []string{path}, Env: runtimeEnv(os.Environ()), Bundle: e.runDir(c.ID), ID: c.ID}
	// A process can't be born in a cgroup of version 1, which only root has.
	rt.Configure(rootless.Rootless() || cgroup.Unified())
	return rt, nil
}

// runtimeEnv is what a runtime gets to see of env: where things are, and nothing that it acts on, as NOTIFY_SOCKET.
func runtimeEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains([]string{"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"}, name)
	})
}

// startForeign starts c with another runtime than the bundled one, which works from config.json alone.
func (e *Engine) startForeign(ctx context.Context, c *Container, o StartOptions, root *rootMount, s *specs.Spec) (*monitor.Conn, error) {
	conn, err := e.spawn(ctx, c, o, root, s, nil)
	var refused *StartError
	if errors.As(err, &refused) {
		refused.name(c.Config.Process.Args)
	}
	return conn, err
}

// prepareForeign leaves the runtime what it needs in the run directory. The container's cgroup is there already.
func (e *Engine) prepareForeign(c *Container, s *specs.Spec, root *rootMount) (*driver.Runtime, error) {
	rt, err := e.foreignRuntime(c)
	if err != nil {
		return nil, err
	}
	if err := rt.Delete(); err != nil { // of a monitor that was killed
		return nil, err
	}
	if err := e.complement(c, rt, root, s); err != nil {
		return nil, err
	}
	return &rt, errors.Join(e.writeBundle(c, "config.json", s), e.writeBundle(c, processFile, s.Process))
}

// name adds the command that can't be executed to the words of a runtime that leaves it out.
func (e *StartError) name(args []string) {
	if e.Code != 125 && !strings.Contains(e.Message, args[0]) {
		e.Message = fmt.Sprintf("execute %q: %s", args[0], e.Message)
	}
}

// dropForeign removes what another runtime than the bundled one still has of the container's run, as when the monitor
// was killed.
func (e *Engine) dropForeign(c *Container) error {
	if c.Runtime == "" || !(driver.Runtime{Bundle: e.runDir(c.ID), ID: c.ID}).Known() {
		return nil
	}
	rt, err := e.foreignRuntime(c)
	if err != nil {
		return err
	}
	return rt.Delete()
}

// clearUnstarted removes what a monitor that was killed before it could tell of its init has left: one that nobody knows,
// or that waits for another runtime's start.
func (e *Engine) clearUnstarted(c *Container) error {
	if _, err := os.Stat(e.runDir(c.ID)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := e.tryLock(c.ID)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	if st := e.Status(c); st.State != Created || st.MonitorPID != 0 {
		return nil
	}
	return e.clearRun(c)
}
