package outfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	for how, write := range map[string]func(string, os.FileMode, func(io.Writer) error) error{"nameless": Write, "named": writeNamed} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "a")
			for _, text := range []string{"one", "two"} {
				if err := write(name, 0o600, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
					t.Fatal(err)
				}
				wantAlone(t, dir, "a", text)
			}
			broken := errors.New("broken")
			if err := write(name, 0o600, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken }); !errors.Is(err, broken) {
				t.Errorf("error is %v, want that of the filling", err)
			}
			wantAlone(t, dir, "a", "two")
		})
	}
}

func wantAlone(t *testing.T, dir, name, text string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 || list[0].Name() != name {
		t.Fatalf("the directory has %v, %v; want %s alone", list, err, name)
	}
	if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != text {
		t.Errorf("%s has %q, %v; want %q", name, data, err, text)
	}
}

func TestWriteMissingDirectory(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "absent", "a"), 0o600, func(io.Writer) error { return nil })
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v, want that the directory is not there", err)
	}
}
