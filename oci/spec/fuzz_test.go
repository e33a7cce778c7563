package spec

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzResolveUser looks names up in the passwd and group files of any image.
func FuzzResolveUser(f *testing.F) {
	f.Add("bob:staff", "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n", "root:x:0:\nstaff:x:50:bob\n", "video")
	f.Add("4294967296", "", "", "-1")
	f.Add("1000:99999999999", "a:b:c:d:e:f:g", "x:::,,\n", "")
	f.Add("", "0", "0", "")
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		f.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, passwd, group, extra string) {
		for file, text := range map[string]string{"etc/passwd": passwd, "etc/group": group} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		u, err := ResolveUser(root, name, []string{extra})
		if err == nil && (u.UID > 1<<31-1 || u.GID > 1<<31-1) {
			t.Errorf("%q is %+v", name, u) // beyond what the kernel's users have in common
		}
	})
}
