package tests

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// fourLayers is an image of several layers, and the digest of the last one as it is transferred.
func fourLayers(t testing.TB) (img harness.Image, last string) {
	t.Helper()
	img = baseImage(t)
	for n := range 3 {
		img.Layers = append(img.Layers, harness.Layer(harness.Entry{Name: fmt.Sprintf("srv/f%d", n), Content: strings.Repeat(fmt.Sprint(n), 1<<16)}))
	}
	_, blobs := img.Manifest(harness.DockerTypes, harness.Gzip)
	return img, harness.Digest(blobs[len(blobs)-1])
}

// TestPullInterrupted: at whatever a registry stalls, Ctrl-C ends the pull, and nothing is left.
func TestPullInterrupted(t *testing.T) {
	img, last := fourLayers(t)
	for name, stalls := range map[string]func(string) bool{
		"at the first question": func(path string) bool { return path == "/v2/" },
		"at the manifest":       func(path string) bool { return strings.Contains(path, "/manifests/") },
		"at the configuration":  func(path string) bool { return strings.HasSuffix(path, harness.Digest(img.ConfigJSON())) },
		"at every layer":        img.LayerPath,
		"at the last layer":     func(path string) bool { return strings.HasSuffix(path, last) },
	} {
		t.Run(name, func(t *testing.T) {
			e := env.Fresh(t)
			addr, reached := harness.StallingRegistry(t, img, stalls)
			x := pull(e, "-q", addr+"/slow:1").Exec(context.Background())
			var stdout, stderr bytes.Buffer
			x.Stdout, x.Stderr = &stdout, &stderr
			if err := x.Start(); err != nil {
				t.Fatal(err)
			}
			<-reached
			if err := x.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = x.Wait()
			equal(t, "exit code", fmt.Sprint(harness.ExitCode(x.ProcessState)), "125")
			equal(t, "stdout", stdout.String(), "")
			equal(t, "stderr", stderr.String(), fmt.Sprintf("proa: pull %q: interrupted, nothing was kept\n", addr+"/slow:1"))
			pullLeftNothing(t, e)
		})
	}
}

// TestPullInterruptedOnTerminal presses Ctrl-C while the bars are drawn.
func TestPullInterruptedOnTerminal(t *testing.T) {
	e := env.Fresh(t)
	img, last := fourLayers(t)
	addr, reached := harness.StallingRegistry(t, img, func(path string) bool { return strings.HasSuffix(path, last) })
	term := pull(e, addr+"/slow:1").OnTerminal(t, 24, 80)
	before := term.Settings(t)
	<-reached
	term.Expect(t, strings.TrimPrefix(last, "sha256:")[:12])
	term.Type(t, "\x03")
	equal(t, "exit code", fmt.Sprint(term.Wait(t)), "125")
	term.Expect(t, "interrupted, nothing was kept")
	if term.Settings(t) != before {
		t.Error("the terminal's settings are not what they were")
	}
	pullLeftNothing(t, e)
}

// TestPullKilled: what a killed pull leaves is swept by the next one, whatever that pulls.
func TestPullKilled(t *testing.T) {
	e := env.Fresh(t)
	img, last := fourLayers(t)
	addr, reached := harness.StallingRegistry(t, img, func(path string) bool { return strings.HasSuffix(path, last) })
	x := pull(e, "-q", addr+"/slow:1").Exec(context.Background())
	x.SysProcAttr.Setpgid = true
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	harness.Eventually(t, "a layer is there", func() bool {
		layers, _ := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage/overlay/*/link"))
		return len(layers) > 0
	})
	if err := syscall.Kill(-x.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = x.Wait()
	equal(t, "images", e.Proa("images", "-q", "-a").OK(t).Out(), "")
	e.WriteFile(t, filepath.Join(e.Home, ".local/share/containers/storage/overlay-containers/.tmp-containers.json1"), "[", 0o600) // as a killed writer leaves it
	refused(t, pull(e, "-q", "127.0.0.1:1/x:1"), 125, "127.0.0.1:1")
	pullLeftNothing(t, e)

	whole := harness.LyingRegistry(t, img, func(_ string, b []byte) ([]byte, int) { return b, len(b) })
	pull(e, "-q", whole+"/slow:1").OK(t)
	got := e.Proa("run", "--rm", "--network=none", whole+"/slow:1", "sh", "-c", "cat /srv/* | wc -c").OK(t).Out()
	equal(t, "the image is whole", got, fmt.Sprint(3<<16))
}

// TestRunInterruptedInPull: Ctrl-C while run still pulls ends both, and leaves neither image nor container.
func TestRunInterruptedInPull(t *testing.T) {
	e := env.Fresh(t)
	img, last := fourLayers(t)
	addr, reached := harness.StallingRegistry(t, img, func(path string) bool { return strings.HasSuffix(path, last) })
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf"), fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", addr), 0o644)
	term := e.Proa("run", "-it", "--network=none", "--name", "victim", addr+"/slow:1", "true").OnTerminal(t, 24, 80)
	before := term.Settings(t)
	<-reached
	term.Type(t, "\x03")
	equal(t, "exit code", fmt.Sprint(term.Wait(t)), "125")
	term.Expect(t, "interrupted, nothing was kept")
	if term.Settings(t) != before {
		t.Error("the terminal's settings are not what they were")
	}
	equal(t, "ps -aq", e.Proa("ps", "-aq").OK(t).Out(), "")
	pullLeftNothing(t, e)
}
