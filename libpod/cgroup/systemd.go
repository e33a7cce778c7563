package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// scope is the unit that the user's manager delegates to proa.
const scope = "proa.scope"

// patience is how long systemd may take for a unit.
const patience = 20 * time.Second

// socket is systemd's own: no bus is needed between.
func socket(o Options) string {
	if !o.Rootless {
		return "/run/systemd/private"
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = filepath.Join("/run/user", strconv.Itoa(o.UID))
	}
	return filepath.Join(dir, "systemd", "private")
}

func hasManager(o Options) bool {
	_, err := os.Stat(socket(o))
	return err == nil
}

func dial(o Options) (*systemd.Conn, error) {
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) {
		c, err := dbus.Dial("unix:path=" + socket(o))
		if err != nil {
			return nil, err
		}
		// The id is the one that the kernel tells systemd of the peer, not that of the user namespace.
		if err := c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(o.UID))}); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking systemd for a cgroup at %s: %w; --cgroup-manager cgroupfs does without", socket(o), err)
	}
	return conn, nil
}

// startScope makes proa.scope around process pid, or puts pid into the one there is, and returns its cgroup.
func startScope(ctx context.Context, o Options, pid int) (string, error) {
	conn, err := dial(o)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	props := []systemd.Property{
		systemd.PropDescription("containers of proa"),
		{Name: "Delegate", Value: dbus.MakeVariant(true)},
		{Name: "CollectMode", Value: dbus.MakeVariant("inactive-or-failed")},
		systemd.PropPids(uint32(pid)),
	}
	done := make(chan string, 1)
	_, err = conn.StartTransientUnitContext(ctx, scope, "fail", props, done)
	var failed dbus.Error
	switch {
	case errors.As(err, &failed) && failed.Name == "org.freedesktop.systemd1.UnitExists":
		if err := conn.AttachProcessesToUnit(ctx, scope, "/", []uint32{uint32(pid)}); err != nil {
			return "", fmt.Errorf("asking systemd to put process %d into %s: %w", pid, scope, err)
		}
	case err != nil:
		return "", fmt.Errorf("asking systemd for %s: %w", scope, err)
	default:
		select {
		case result := <-done:
			if result != "done" {
				return "", fmt.Errorf("asking systemd for %s: it says %q; `systemctl --user status %s` says more", scope, result, scope)
			}
		case <-ctx.Done():
			return "", fmt.Errorf("asking systemd for %s: no answer within %v", scope, patience)
		}
	}
	p, err := conn.GetUnitTypePropertyContext(ctx, scope, "Scope", "ControlGroup")
	if err != nil {
		return "", fmt.Errorf("asking systemd where %s is: %w", scope, err)
	}
	path, _ := p.Value.Value().(string)
	if path == "" {
		return "", fmt.Errorf("asking systemd where %s is: it has no cgroup", scope)
	}
	return filepath.Join(Mount, path), nil
}

// Move puts process pid into the place's leaf, through systemd where the caller may not itself.
func (p *Place) Move(ctx context.Context, o Options, pid int) error {
	if p.Leaf == "" {
		return nil
	}
	if !p.Attach {
		return os.WriteFile(filepath.Join(p.Leaf, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	}
	conn, err := dial(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := conn.AttachProcessesToUnit(ctx, scope, "/"+own, []uint32{uint32(pid)}); err != nil {
		return fmt.Errorf("asking systemd to put process %d into %s: %w", pid, scope, err)
	}
	return nil
}
