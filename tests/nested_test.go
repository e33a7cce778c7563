package tests

import (
	"strings"
	"testing"
)

// TestNested runs proa in a container of proa: with every privilege there is, with the two that an ordinary container
// must be given, and without, when the error says which they are.
func TestNested(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	bin := "--volume=" + e.Prefix + ":/pb:ro"
	for _, c := range []struct {
		name    string
		options []string
		error   string
	}{
		{"privileged", []string{"--privileged", "--tmpfs", "/var/lib/containers"}, ""},
		{"unmasked", []string{"--security-opt", "unmask=all", "--security-opt", "seccomp=unconfined", "--tmpfs", "/root"}, ""},
		{"masked", []string{"--security-opt", "seccomp=unconfined", "--tmpfs", "/root"}, "--security-opt unmask=all"},
		{"filtered", []string{"--security-opt", "unmask=all", "--tmpfs", "/root"}, "--security-opt seccomp=unconfined"},
		{"overlay", []string{"--privileged"}, "--tmpfs /var/lib/containers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--network=none", bin}, c.options...)
			r := e.Proa(append(args, image, "/pb/bin/proa", "run", "--rm", "hello")...)
			if c.error != "" {
				if msg := r.Want(t, 125).Stderr; !strings.Contains(msg, c.error) {
					t.Errorf("the error does not name %q: %s", c.error, msg)
				}
				return
			}
			if out := r.OK(t).Stdout; !strings.Contains(out, "Hello from a container") {
				t.Errorf("it says %q", out)
			}
		})
	}
}
