package libpod

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/monitor"
)

// foreignRuntime is the runtime that c asks for in place of the bundled one.
func (e *Engine) foreignRuntime(c *Container) (driver.Runtime, error) {
	path, err := driver.Find(c.Runtime, os.Getenv("PATH"))
	if err != nil {
		return driver.Runtime{}, err
	}
	return driver.Runtime{
		Args: append([]string{path}, driver.Global(path)...), Env: runtimeEnv(os.Environ()), Bundle: e.runDir(c.ID), ID: c.ID,
	}, nil
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
	rt, err := e.foreignRuntime(c)
	if err != nil {
		return nil, err
	}
	if err := rt.Delete(); err != nil { // of a monitor that was killed
		return nil, err
	}
	l := launchable{runtime: &rt, resources: s.Linux.Resources}
	if err := e.complement(c, rt, root, s); err != nil {
		return nil, err
	}
	if err := e.writeBundle(c, s); err != nil {
		return nil, err
	}
	return e.spawn(ctx, c, o, root, l)
}

// clearRun removes what is left of a container's run: its cgroup and directory, and before that what another runtime than
// the bundled one still has of it, as when the monitor was killed. The caller holds the container's lock.
func (e *Engine) clearRun(c *Container) error {
	if err := e.dropForeign(c); err != nil {
		return err
	}
	return errors.Join(e.dropCgroups(c.ID), e.dropRunDir(c.ID))
}

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

// clearUnstarted removes what a monitor that was killed between the runtime's create and start has left: an init that
// nobody will start.
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
