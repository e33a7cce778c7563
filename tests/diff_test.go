package tests

import (
	"testing"
)

func TestDiff(t *testing.T) {
	vol := env.TempDir(t)
	name := start(t, env, "-v", vol+":/vol", "--tmpfs", "/scratch", "--", "sh", "-c", `echo x >> /etc/passwd; mkdir -p /new/sub; echo y > /new/sub/f
		rm /etc/group; rm -r /root; mkdir /root; echo z > /root/new; touch /tmp/gone; rm /tmp/gone; echo v > /vol/f; echo s > /scratch/f`)
	env.Proa("wait", name).OK(t)
	want := "C /etc\nD /etc/group\nC /etc/passwd\nA /new\nA /new/sub\nA /new/sub/f\nC /root\nA /root/new\nC /tmp\n"
	equal(t, "diff", env.Proa("diff", name).OK(t).Stdout, want)
	equal(t, "json", env.Proa("diff", "--format", "json", name).OK(t).Stdout,
		`{"changed":["/etc","/etc/passwd","/root","/tmp"],"added":["/new","/new/sub","/new/sub/f","/root/new"],"deleted":["/etc/group"]}`+"\n")
	equal(t, "template", env.Proa("container", "diff", "--format", "{{.Path}}", name).OK(t).Stdout[:5], "/etc\n")

	running := start(t, env, "sh", "-c", "echo x > /made; sleep 1000")
	env.Proa("exec", running, "sh", "-c", "while ! test -s /made; do sleep 0.05; done").OK(t)
	equal(t, "of a running one", env.Proa("diff", running).OK(t).Stdout, "A /made\n")
	equal(t, "of one that never ran", env.Proa("diff", stopped(t, env)).OK(t).Stdout, "")
}

func TestDiffRefusals(t *testing.T) {
	name := stopped(t, env)
	refused(t, env.Proa("diff"), 125, "one container")
	refused(t, env.Proa("diff", name, name), 125, "one container")
	refused(t, env.Proa("diff", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("diff", "--format", "{{.", name), 125, "format")
	root := env.TempDir(t)
	line := "mkdir -p $0/bin && cp /bin/busybox $0/bin/"
	env.Command("sh", "-c", line, root).OK(t)
	plain := containerName(t)
	env.Proa("create", "--network=none", "--name", plain, "--rootfs", root, "/bin/busybox", "true").OK(t)
	removeLater(t, env, plain)
	refused(t, env.Proa("diff", plain), 1, "--rootfs", root)
}
