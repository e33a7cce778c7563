package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	bk "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
)

// display shows progress, by BuildKit's own program.
type display struct {
	ch   chan *bk.SolveStatus
	done sync.WaitGroup
	warn []bk.VertexWarning
	mu   sync.RWMutex
	over bool

	out    io.Writer
	silent bool
}

// startDisplay begins to show; mode is as progressui has it.
func startDisplay(ctx context.Context, a *app, mode string) (*display, error) {
	d := &display{ch: make(chan *bk.SolveStatus, 64), out: a.err, silent: mode == "quiet" || mode == "rawjson"}
	ui, err := progressui.NewDisplay(a.err, progressui.DisplayMode(mode), progressui.WithDesc("building", "[+] Building"))
	if err != nil {
		return nil, fmt.Errorf("--progress %s: %w", mode, err)
	}
	d.done.Go(func() {
		// It is to show the end of what was interrupted, too.
		var err error
		if d.warn, err = ui.UpdateFrom(context.WithoutCancel(ctx), d.ch); err != nil {
			for range d.ch {
			}
		}
	})
	return d, nil
}

// tell hands over what happened; after the end it is dropped.
func (d *display) tell(st *bk.SolveStatus) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.over {
		d.ch <- st
	}
}

// end shows what is left, and then, where people read, the warnings.
func (d *display) end() {
	d.mu.Lock()
	over := d.over
	if !over {
		d.over = true
		close(d.ch)
	}
	d.mu.Unlock()
	d.done.Wait()
	if over || d.silent {
		return
	}
	for _, w := range d.warn {
		fmt.Fprintf(d.out, "proa: warning: %s\n", w.Short)
	}
}
