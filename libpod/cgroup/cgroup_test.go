package cgroup

import "testing"

func TestPath(t *testing.T) {
	for text, want := range map[string]string{
		"0::/user.slice/a b\n": "/user.slice/a b", "12:memory:/x\n0::/\n": "/", "12:memory:/x\n": "", "": "",
		"1:name=systemd:/0::/no\n0::/yes\n": "/yes",
	} {
		if got := Path(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
