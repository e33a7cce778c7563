package driver

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func openRoot(t testing.TB, dir string) *os.File {
	t.Helper()
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestBadFormat(t *testing.T) {
	if otherFormats() {
		t.Skip("needs a host without binfmt_misc's formats")
	}
	dir := t.TempDir()
	root := openRoot(t, dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	foreign := append([]byte(nil), self...)
	foreign[18], foreign[19] = 0xff, 0x7f
	for name, b := range map[string][]byte{
		"self": self, "foreign": foreign, "short": self[:40], "empty": nil, "loop": []byte("#!/loop\n"), "script": []byte("#! /self arg\nx"), "of-script": []byte("#!/script"),
		"of-foreign": []byte("#!/foreign\n"), "of-nothing": []byte("#!\t/nothing\n"), "relative": []byte("#!nothing\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	interpreter := "" // of a test that is linked with cgo
	if f := openIn(root, "self"); f != nil {
		interpreter = loader(f, self[:256])
		f.Close()
	}
	for name, want := range map[string]string{
		"self": interpreter, "foreign": "exec format", "short": "exec format", "empty": "exec format", "loop": "", "script": interpreter, "of-script": interpreter,
		"of-foreign": "exec format", "of-nothing": "/nothing is missing", "relative": "",
	} {
		got := badFormat(root, openIn(root, name), 0)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s on %s: %q, want %q", name, runtime.GOARCH, got, want)
		}
	}
}

func FuzzBadFormat(f *testing.F) {
	if self, err := os.ReadFile("/proc/self/exe"); err == nil {
		f.Add(self[:4096])
	}
	f.Add([]byte("#! /a b\n"))
	dir := f.TempDir()
	root := openRoot(f, dir)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, "a"), b, 0o755); err != nil {
			t.Fatal(err)
		}
		badFormat(root, openIn(root, "a"), 0)
	})
}
