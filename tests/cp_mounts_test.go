package tests

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCpMounts: what is mounted in a container is written to, running or not, and stays mounted.
func TestCpMounts(t *testing.T) {
	dir, vol := sample(t), env.TempDir(t)
	env.WriteFile(t, filepath.Join(vol, "there"), "there\n", 0o644)
	single := env.WriteFile(t, filepath.Join(env.TempDir(t), "single"), "before\n", 0o644)
	flags := []string{"-v", vol + ":/vol", "-v", single + ":/etc/single"}
	for state, name := range map[string]string{"running": start(t, env, append(flags, "--", "sleep", "1000")...), "stopped": stopped(t, env, flags...)} {
		env.Proa("cp", dir+"/f", name+":/vol/"+state).OK(t)
		equal(t, state+": on the host", env.Command("cat", vol+"/"+state).OK(t).Out(), "file")
		out := env.TempDir(t)
		env.Proa("cp", name+":/vol/there", out+"/got").OK(t)
		equal(t, state+": from the host", env.Command("cat", out+"/got").OK(t).Out(), "there")
		env.WriteFile(t, single, "before\n", 0o644)
		env.Proa("cp", dir+"/f", name+":/etc/single").OK(t)
		equal(t, state+": a mounted file", env.Command("cat", single).OK(t).Out(), "file")
		if state == "running" {
			env.Proa("exec", name, "sh", "-c", "grep -q /etc/single /proc/mounts && grep -q file /etc/single").OK(t)
		}
	}
	ro := []string{"-v", vol + ":/vol:ro", "--read-only"}
	for _, name := range []string{start(t, env, append(ro, "--", "sleep", "1000")...), stopped(t, env, ro...)} {
		refused(t, env.Proa("cp", dir+"/f", name+":/vol/x"), 1, "read-only file system")
		refused(t, env.Proa("cp", dir+"/f", name+":/x"), 1, "read-only file system")
		env.Proa("cp", name+":/vol/there", env.TempDir(t)).OK(t)
	}
	equal(t, "mounts left in proa's namespace", strings.Join(env.PauseMounts(), "\n"), "")
}

// TestCpVolumes: volumes are reached in stopped containers too, and in no other state than a run would find them.
func TestCpVolumes(t *testing.T) {
	e, dir := withImage(t, env.Fresh(t)), sample(t)
	e.Proa("volume", "create", "data").OK(t)
	running := start(t, e, "-v", "data:/data", "--", "sleep", "1000")
	other := stopped(t, e, "-v", "data:/d", "-v", "/anonymous", "--mount", "type=volume,source=data,target=/part,volume-subpath=sub")
	e.Proa("exec", running, "mkdir", "/data/sub").OK(t)
	e.Proa("cp", dir+"/f", other+":/d/f").OK(t)
	equal(t, "in the volume", e.Proa("exec", running, "cat", "/data/f").OK(t).Out(), "file")
	e.Proa("cp", dir+"/f", other+":/part/f").OK(t)
	equal(t, "in a part of it", e.Proa("exec", running, "cat", "/data/sub/f").OK(t).Out(), "file")
	e.Proa("cp", dir+"/d", other+":/anonymous").OK(t)
	equal(t, "in an anonymous one", e.Command("sh", "-c", "proa cp $0:/anonymous/d/one - | tar -xO", other).OK(t).Out(), "one")
	equal(t, "the layer", e.Proa("diff", other).OK(t).Out(), "")
	e.Proa("exec", running, "ln", "-s", "/", "/data/esc").OK(t)
	e.Proa("cp", dir+"/f", other+":/d/esc/proa-cp-volume").OK(t)
	e.Proa("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mounted").OK(t)
	first, second := start(t, e, "-v", "mounted:/m", "--", "sleep", "1000"), stopped(t, e, "-v", "mounted:/m")
	e.Proa("cp", dir+"/f", second+":/m/f").OK(t)
	equal(t, "in one that is mounted while it is used", e.Proa("exec", first, "cat", "/m/f").OK(t).Out(), "file")
	e.Proa("rm", "-f", first).OK(t)
	e.Proa("cp", dir+"/f", second+":/m/f").OK(t)
	equal(t, "mounts that are left", strings.Join(e.PauseMounts(), "\n"), "")
	equal(t, "the layer of its container", e.Proa("diff", second).OK(t).Out(), "")
	equal(t, "a link in a volume leads into the container", e.Proa("diff", other).OK(t).Out(), "A /proa-cp-volume")
}
