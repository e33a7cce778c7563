package storage_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/storage"
	"github.com/proa-containers/proa/storage/storagetest"
	"go.podman.io/storage/pkg/lockfile"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

func open(t testing.TB) *storage.Store { return storagetest.Open(t, "") }

// addImage adds an image of n layers, each with a file named after its number.
func addImage(t testing.TB, s *storage.Store, id string, n int) storage.Image {
	t.Helper()
	parent := ""
	for i := range n {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Mode: 0o644, Size: 1, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
		w.Close()
		l, err := s.PutLayer(fmt.Sprintf("%064d", i+1), parent, &buf)
		if err != nil {
			t.Fatal(err)
		}
		parent = l.ID
	}
	i, err := s.CreateImage(storage.NewImage{ID: id, Names: []string{"localhost/x:latest"}, TopLayer: parent, Manifest: []byte(`{"m":1}`), Config: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

const imageID = "abababababababababababababababababababababababababababababababab"

func TestContainer(t *testing.T) {
	s := open(t)
	addImage(t, s, imageID, 3)
	for _, volatile := range []bool{true, false} {
		for _, image := range []string{imageID, ""} {
			o, err := s.CreateContainer("c1", []string{"name"}, image, volatile)
			if err != nil {
				t.Fatal(err)
			}
			if o.Volatile != volatile || !o.UserXattr {
				t.Errorf("options %+v, want volatile=%v and user attributes", o, volatile)
			}
			for range 2 { // a volatile overlay leaves a mark that refuses the second mount
				f, err := o.Mount()
				if err != nil {
					t.Fatal(err)
				}
				if image != "" {
					if _, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d/2", f.Fd())); err != nil {
						t.Error(err)
					}
				}
				f.Close()
				if o, err = s.Overlay("c1"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.CreateContainer("c1", nil, image, volatile); !errors.Is(err, storage.ErrExists) {
				t.Errorf("second container of the same id: %v, want ErrExists", err)
			}
			if image != "" {
				if _, err := s.DeleteImage(image); !errors.Is(err, storage.ErrInUse) {
					t.Errorf("removing a used image: %v, want ErrInUse", err)
				}
			}
			list, err := s.Containers()
			if err != nil || len(list) != 1 || list[0].Volatile != volatile || list[0].ImageID != image {
				t.Errorf("containers: %+v, %v", list, err)
			}
			for range 2 {
				if err := s.DeleteContainer("c1"); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(o.Upper); !os.IsNotExist(err) {
				t.Errorf("the layer is still there: %v", err)
			}
		}
	}
	if _, err := s.Overlay("c1"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("overlay of no container: %v, want ErrNotFound", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), s.GraphRoot()) {
		t.Errorf("a mount is left:\n%s", mounts)
	}
}

// TestSweep: what a killed writer left goes, unless its list is locked, and nothing else does.
// TestDeleteUnrecorded: a layer whose container was never recorded, as its process was killed, goes with those beneath it
// that an image has left to it.
func TestDeleteUnrecorded(t *testing.T) {
	s := open(t)
	addImage(t, s, imageID, 2)
	before := inStore(t, s)
	layer := func() {
		t.Helper()
		i, err := s.Image(imageID)
		if err == nil {
			_, err = s.PutLayer("unrecorded", i.TopLayer, oneFile(t, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	layer()
	if err := s.DeleteContainer("unrecorded"); err != nil || inStore(t, s) != before {
		t.Errorf("with the image: %v\n%s\nwant\n%s", err, inStore(t, s), before)
	}
	layer()
	if _, err := s.DeleteImage(imageID); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteContainer("unrecorded"); err != nil || inStore(t, s) != "" {
		t.Errorf("without the image: %v, %s is left", err, inStore(t, s))
	}
}

func TestSweep(t *testing.T) {
	if path := os.Getenv("STORAGE_TEST_HOLD"); path != "" {
		lock, err := lockfile.GetLockFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lock.Lock()
		fmt.Println("held")
		_, _ = io.Copy(io.Discard, os.Stdin)
		lock.Unlock()
		return
	}
	s := open(t)
	addImage(t, s, imageID, 1)
	var left []string
	for _, name := range []string{"overlay-layers/.tmp-layers.json1", "overlay-images/.tmp-images.json2", "overlay-containers/.tmp-containers.json3", "overlay-containers/.tmp-volatile-containers.json4"} {
		path := s.GraphRoot() + "/" + name
		if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
			t.Fatal(err)
		}
		left = append(left, path)
	}
	there := func() (n int) {
		for _, path := range left {
			if _, err := os.Stat(path); err == nil {
				n++
			}
		}
		return n
	}
	// Another process, since a lock of this one's would only keep out its own goroutines.
	held := exec.Command("/proc/self/exe", "-test.run=^TestSweep$")
	held.Env = append(os.Environ(), "STORAGE_TEST_HOLD="+s.GraphRoot()+"/overlay-images/images.lock")
	in, err := held.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := held.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil || there() != 1 {
		t.Errorf("swept while the list of images is locked: %v, %d left; want 1", err, there())
	}
	in.Close()
	if err := held.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil || there() != 0 {
		t.Errorf("swept: %v, %d left; want none", err, there())
	}
	if _, err := s.Image(imageID); err != nil {
		t.Error(err)
	}
	if err := os.Symlink("../gone/diff", s.GraphRoot()+"/overlay/l/LEFT"); err != nil {
		t.Fatal(err)
	}
	if err := s.SweepLinks(); err != nil {
		t.Error(err)
	}
	if links, err := os.ReadDir(s.GraphRoot() + "/overlay/l"); err != nil || len(links) != 1 || links[0].Name() == "LEFT" {
		t.Errorf("links: %v, %v; want that of the layer", links, err)
	}
}

func TestCheckFindsMissingLayer(t *testing.T) {
	s := open(t)
	i := addImage(t, s, imageID, 2)
	report, err := s.Check(context.Background(), storage.CheckOptions{})
	if err != nil || len(report.Problems) != 0 {
		t.Fatalf("problems in a sound store: %v, %v", report, err)
	}
	upper, _, err := s.LayerPaths(i.TopLayer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(upper); err != nil {
		t.Fatal(err)
	}
	if report, err = s.Check(context.Background(), storage.CheckOptions{}); err != nil || len(report.Problems) == 0 {
		t.Fatalf("no problem found with a layer removed: %v, %v", report, err)
	}
	if err := report.Repair(context.Background(), false); err != nil {
		t.Error(err)
	}
	if report, err = s.Check(context.Background(), storage.CheckOptions{}); err != nil || len(report.Problems) != 0 {
		t.Errorf("problems after the repair: %v, %v", report, err)
	}
}

// TestCheckBothWays: a layer that no image needs, and one that is not recorded, are found and removed.
func TestCheckBothWays(t *testing.T) {
	s := open(t)
	i := addImage(t, s, imageID, 1)
	if _, err := s.PutLayer("alone", i.TopLayer, bytes.NewReader(nil)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.GraphRoot()+"/overlay/unrecorded/diff", 0o700); err != nil {
		t.Fatal(err)
	}
	for quick, want := range map[storage.CheckOptions]int{
		{Quick: true}: 2, {Quick: true, MaxAge: time.Hour}: 1, {}: 2,
	} {
		if report, err := s.Check(context.Background(), quick); err != nil || len(report.Problems) != want {
			t.Errorf("%+v: %v, %v; want %d problems", quick, report, err, want)
		}
	}
	report, err := s.Check(context.Background(), storage.CheckOptions{})
	if err == nil {
		err = report.Repair(context.Background(), false)
	}
	if err != nil {
		t.Fatal(err)
	}
	if report, err = s.Check(context.Background(), storage.CheckOptions{}); err != nil || len(report.Problems) != 0 {
		t.Errorf("problems after the repair: %v, %v", report, err)
	}
	if _, err := s.Image(imageID); err != nil {
		t.Errorf("the image: %v", err)
	}
}

func TestOpenRefusesOtherDriver(t *testing.T) {
	t.Setenv("STORAGE_DRIVER", "vfs")
	if os.Getenv("STORAGE_TEST_DRIVER") == "" { // the library reads its configuration once a process
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestOpenRefusesOtherDriver$")
		cmd.Env = append(os.Environ(), "STORAGE_TEST_DRIVER=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	_, err := storage.Open(context.Background(), storage.Options{GraphRoot: t.TempDir(), RunRoot: t.TempDir()})
	if !errors.Is(err, storage.ErrDriver) {
		t.Errorf("error is %v, want ErrDriver", err)
	}
}

func BenchmarkContainer(b *testing.B) {
	s := open(b)
	addImage(b, s, imageID, 6)
	opts := storage.Options{GraphRoot: s.GraphRoot(), RunRoot: s.RunRoot(), Rootless: true, OuterUID: 4711}
	for b.Loop() {
		s.Close()
		var err error
		if s, err = storage.Open(context.Background(), opts); err != nil {
			b.Fatal(err)
		}
		if _, err := s.CreateContainer("c1", nil, imageID, true); err != nil {
			b.Fatal(err)
		}
		if err := s.DeleteContainer("c1"); err != nil {
			b.Fatal(err)
		}
	}
}
