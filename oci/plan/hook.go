package plan

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Run runs the hook with the container's state on its standard input.
func (h *Hook) Run(state []byte) error {
	var out bytes.Buffer
	cmd := &exec.Cmd{Path: h.Path, Args: h.Args, Env: h.Env, Stdin: bytes.NewReader(state), Stdout: &out, Stderr: &out}
	if len(cmd.Args) == 0 {
		cmd.Args = []string{h.Path}
	}
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	if h.Timeout > 0 {
		t := time.AfterFunc(time.Duration(h.Timeout)*time.Second, func() { _ = cmd.Process.Kill() })
		defer t.Stop()
	}
	if err := cmd.Wait(); err != nil {
		if s := strings.TrimSpace(out.String()); s != "" {
			return fmt.Errorf("%w: %s", err, s)
		}
		return err
	}
	return nil
}
