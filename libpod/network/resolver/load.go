package resolver

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// A query that waits costs a goroutine, an exchange with a server a socket too. No container takes all of either.
	maxWaiting         = 2048
	maxWaitingPerOne   = 512
	maxResolving       = 512
	maxResolvingPerOne = 64
	// More refusals of one container than that in a second are not told of.
	maxRefusals = 20
)

// load is what goes on at once, of one container or of all.
type load struct {
	waiting   atomic.Int32
	most      int32
	resolving chan struct{}
	second    atomic.Int64 // of the refusals that are counted
	refusals  atomic.Int32
}

func newLoad(waiting int32, resolving int) *load {
	return &load{most: waiting, resolving: make(chan struct{}, resolving)}
}

// enter lets a query wait, unless too many do.
func (l *load) enter() bool {
	if l.waiting.Add(1) > l.most {
		l.waiting.Add(-1)
		return false
	}
	return true
}

func (l *load) leave() { l.waiting.Add(-1) }

// begin waits until something may be asked; end follows when it returned nil.
func (l *load) begin(ctx context.Context) error {
	select {
	case l.resolving <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *load) end() { <-l.resolving }

// tell tells whether a refusal is to be told of.
func (l *load) tell(now time.Time) bool {
	if second := now.Unix(); l.second.Swap(second) != second {
		l.refusals.Store(0)
	}
	return l.refusals.Add(1) <= maxRefusals
}
