package tests

import (
	"encoding/json"
	"testing"
	"time"
)

func TestInspectContainer(t *testing.T) {
	name := start(t, env, "-e", "A=1", "-l", "k=v", "-w", "/tmp", "--hostname", "box", "--", "sh", "-c", "sleep 1000")
	var got []struct {
		ID, Name, Image, Path, Created string
		Args                           []string
		State                          struct {
			Status             string
			Running, OOMKilled bool
			Pid, ExitCode      int
			StartedAt          string
		}
		Config struct {
			Hostname, Image, WorkingDir string
			Env, Cmd                    []string
			Labels                      map[string]string
		}
		HostConfig struct {
			NetworkMode string
			Privileged  bool
		}
		Mounts []any
	}
	out := env.Proa("inspect", name).OK(t).Stdout
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
		t.Fatalf("inspect: %v: %s", err, out)
	}
	c := got[0]
	equal(t, "Path", c.Path, "sh")
	equal(t, "Name", c.Name, "/"+name)
	equal(t, "Status", c.State.Status, "running")
	equal(t, "Hostname", c.Config.Hostname, "box")
	equal(t, "WorkingDir", c.Config.WorkingDir, "/tmp")
	equal(t, "Labels", c.Config.Labels["k"], "v")
	equal(t, "Config.Image", c.Config.Image, image)
	equal(t, "NetworkMode", c.HostConfig.NetworkMode, "none")
	if len(c.ID) != 64 || !c.State.Running || c.State.Pid < 2 || len(c.Config.Cmd) != 3 || c.Mounts == nil {
		t.Errorf("inspect: %s", out)
	}
	for _, at := range []string{c.Created, c.State.StartedAt} {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			t.Error(err)
		}
	}
	equal(t, "--format", env.Proa("inspect", "-f", "{{.State.Running}} {{json .Config.Labels}}", name).OK(t).Out(), `true {"k":"v"}`)
	env.Proa("stop", "-t", "0", name).OK(t)
	equal(t, "after stop", env.Proa("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}", name).OK(t).Out(), "exited 137 0")
}

func TestInspectImage(t *testing.T) {
	withImage(t, env)
	equal(t, "image inspect", env.Proa("inspect", "--format", "{{.Os}} {{json .Config.Cmd}}", image).OK(t).Out(), `linux ["sh"]`)
	equal(t, "--type", env.Proa("inspect", "--type", "image", "--format", "{{index .RepoTags 0}}", image).OK(t).Out(), image)
}

func TestInspectErrors(t *testing.T) {
	refused(t, env.Proa("inspect", "no-such-thing"), ownError, "no-such-thing")
	name := start(t, env, "sleep", "1000")
	refused(t, env.Proa("inspect", "--format", "{{.Nope", name), ownError, "format")
}
