package libpod

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func cgroupFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadUsage(t *testing.T) {
	dir := cgroupFiles(t, map[string]string{
		"memory.max":           "1000000\n", // of what the container's is in
		"c/cpu.stat":           "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
		"c/memory.current":     "500000\n",
		"c/memory.stat":        "anon 300000\ninactive_file 150000\nactive_file 50000\n",
		"c/memory.max":         "max\n",
		"c/pids.current":       "7\n",
		"c/io.stat":            "8:0 rbytes=1000 wbytes=2000 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=10 wbytes=20 rios=1 wios=1\n",
		"c/cgroup.procs":       "1\n",
		"c/child/cgroup.procs": "2\n3\n",
	})
	u, err := readUsage(filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	want := Usage{Memory: 350000, MemoryLimit: 1000000, PIDs: 7, Read: 1010, Write: 2020}
	if u.Memory != want.Memory || u.MemoryLimit != want.MemoryLimit || u.PIDs != want.PIDs || u.Read != want.Read || u.Write != want.Write || len(u.Missing) != 0 {
		t.Errorf("usage = %+v, want %+v", u, want)
	}
	g := Gauge{name: "c", dir: filepath.Join(dir, "c")}
	if used, at, err := g.CPU(); err != nil || used != 2500*time.Millisecond || at.IsZero() {
		t.Errorf("processors: %v at %v, %v", used, at, err)
	}
	for _, f := range []string{"memory.current", "pids.current", "io.stat"} {
		os.Remove(filepath.Join(dir, "c", f))
	}
	if u, err = readUsage(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if u.Memory != -1 || u.MemoryLimit != -1 || u.PIDs != 3 || u.Read != -1 || !slices.Equal(u.Missing, []string{"memory", "pids", "io"}) {
		t.Errorf("without controllers: %+v", u)
	}
	gone := Gauge{name: "c", dir: filepath.Join(dir, "gone")}
	var wrong *WrongStateError
	if _, _, err := gone.CPU(); !errors.As(err, &wrong) {
		t.Errorf("of a cgroup that is gone: %v", err)
	}
}

func TestReadUsageV1(t *testing.T) {
	dir := cgroupFiles(t, map[string]string{
		"cpu,cpuacct/c/cpuacct.usage":                       "2500000000\n",
		"memory/c/memory.usage_in_bytes":                    "500000\n",
		"memory/c/memory.stat":                              "cache 1\nhierarchical_memory_limit 1000000\ninactive_file 1\ntotal_inactive_file 150000\n",
		"pids/c/pids.current":                               "7\n",
		"blkio/c/blkio.throttle.io_service_bytes_recursive": "8:0 Read 1000\n8:0 Write 2000\n8:0 Total 3000\n8:16 Read 10\nTotal 3010\n",
	})
	dirs, err := filepath.Glob(dir + "/*/c")
	if err != nil {
		t.Fatal(err)
	}
	u, err := readUsageV1(dirs)
	if err != nil || u.Memory != 350000 || u.MemoryLimit != 1000000 || u.PIDs != 7 || u.Read != 1010 || u.Write != 2000 || len(u.Missing) != 0 {
		t.Errorf("usage = %+v, %v", u, err)
	}
	g := &Gauge{name: "c", v1: dirs}
	if used, _, err := g.CPU(); err != nil || used != 2500*time.Millisecond {
		t.Errorf("time used = %v, %v", used, err)
	}
	for _, name := range []string{"memory", "pids", "blkio"} {
		os.RemoveAll(filepath.Join(dir, name, "c"))
	}
	if u, err = readUsageV1(dirs); err != nil || u.Memory != -1 || u.MemoryLimit != -1 || u.PIDs != -1 || u.Read != -1 || !slices.Equal(u.Missing, []string{"memory", "pids", "io"}) {
		t.Errorf("without controllers: %+v, %v", u, err)
	}
	os.RemoveAll(filepath.Join(dir, "cpu,cpuacct"))
	var wrong *WrongStateError
	if _, _, err := g.CPU(); !errors.As(err, &wrong) {
		t.Errorf("of a cgroup that is gone: %v", err)
	}
}

func TestTTYName(t *testing.T) {
	for dev, want := range map[int]string{0: "?", 136<<8 | 3: "pts/3", 4<<8 | 2: "tty2", 204<<8 | 64: "204:64"} {
		if got := ttyName(dev); got != want {
			t.Errorf("ttyName(%#x) = %q, want %q", dev, got, want)
		}
	}
}

func TestStartTime(t *testing.T) {
	now := time.Date(2026, 3, 4, 15, 0, 0, 0, time.Local)
	for want, at := range map[string]time.Time{"14:05": now.Add(-55 * time.Minute), "Mar01": now.Add(-80 * time.Hour), "2025": now.AddDate(-1, 0, 0)} {
		if got := startTime(at, now); got != want {
			t.Errorf("startTime(%v) = %q, want %q", at, got, want)
		}
	}
}
