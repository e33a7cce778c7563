package storage_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/proa-containers/proa/storage"
)

// TestTransferKilled runs this test again in a child that is killed with its layer in the store: Sweep removes that, and
// not what another tool began meanwhile, and nothing while another transfer runs, which may stand on it.
func TestTransferKilled(t *testing.T) {
	own, other := oneFile(t, 1).Bytes(), oneFile(t, 2).Bytes()
	ownID, otherID := strings.Repeat("1", 64), strings.Repeat("2", 64)
	if root := os.Getenv("PROA_TRANSFER_ROOT"); root != "" {
		s, err := storage.Open(t.Context(), storage.Options{GraphRoot: root, RunRoot: os.Getenv("PROA_TRANSFER_RUN"), Rootless: true, OuterUID: 4711})
		if err != nil {
			t.Fatal(err)
		}
		tr, err := s.NewTransfer()
		if err == nil {
			err = tr.Expect([]digest.Digest{digest.FromBytes(own)})
		}
		if err == nil {
			_, err = s.PutLayer(ownID, "", bytes.NewReader(own))
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	s := open(t)
	running, err := s.NewTransfer()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestTransferKilled$")
	cmd.Env = append(os.Environ(), "PROA_TRANSFER_ROOT="+s.GraphRoot(), "PROA_TRANSFER_RUN="+s.RunRoot())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v: %s", err, out)
	}
	if _, err := s.PutLayer(otherID, "", bytes.NewReader(other)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if got := inStore(t, s); !strings.Contains(got, "layer 11111111") {
		t.Errorf("swept while another transfer runs:\n%s", got)
	}
	running.Close()
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if got := inStore(t, s); strings.Contains(got, "layer 11111111") || !strings.Contains(got, "layer 22222222") || strings.Contains(got, "proa-transfer") {
		t.Errorf("after Sweep:\n%s; want the layer of the other tool alone", got)
	}
}
