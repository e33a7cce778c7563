package transfer

import (
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"go.podman.io/image/v5/types"
)

// progress shows what a copy reports: a bar for each layer on a terminal, a line for each event elsewhere.
type progress struct {
	events   chan types.ProgressProperties
	interval time.Duration
	out      Output
	doing    string // as in "pulling"
	done     sync.WaitGroup
	bars     *mpb.Progress
	layers   map[digest.Digest]*mpb.Bar
}

func startProgress(out Output, doing string) *progress {
	p := &progress{out: out, doing: doing, layers: map[digest.Digest]*mpb.Bar{}}
	if out.Writer == nil {
		return p
	}
	p.events, p.interval = make(chan types.ProgressProperties), 100*time.Millisecond
	if out.Terminal {
		p.bars = mpb.New(mpb.WithOutput(out.Writer), mpb.WithWidth(40), mpb.WithRefreshRate(p.interval))
	}
	p.done.Go(func() {
		for e := range p.events {
			if out.Terminal {
				p.draw(e)
			} else {
				p.print(e)
			}
		}
	})
	return p
}

// stop ends the display; the copy has returned and sends nothing more.
func (p *progress) stop(ok bool) {
	if p.events == nil {
		return
	}
	close(p.events)
	p.done.Wait()
	if p.bars == nil {
		return
	}
	for _, b := range p.layers {
		if ok {
			b.SetTotal(-1, true)
		} else {
			b.Abort(false)
		}
	}
	p.bars.Wait()
}

func short(b types.BlobInfo) string {
	hex := b.Digest.Encoded()
	return hex[:min(12, len(hex))]
}

func (p *progress) print(e types.ProgressProperties) {
	switch e.Event {
	case types.ProgressEventNewArtifact:
		p.out.printf("%s: %s %s", short(e.Artifact), p.doing, size(e.Artifact.Size))
	case types.ProgressEventDone:
		p.out.printf("%s: done", short(e.Artifact))
	case types.ProgressEventSkipped:
		p.out.printf("%s: already there", short(e.Artifact))
	}
}

func size(n int64) string {
	if n < 0 {
		return "of unknown size"
	}
	return fmt.Sprintf("% .1f", decor.SizeB1000(n))
}

func (p *progress) draw(e types.ProgressProperties) {
	bar := p.layers[e.Artifact.Digest]
	if bar == nil {
		note := decor.OnComplete(decor.CountersKiloByte("% .1f / % .1f", decor.WCSyncSpace), " done")
		if e.Event == types.ProgressEventSkipped {
			note = decor.Name(" already there")
		}
		bar = p.bars.AddBar(max(e.Artifact.Size, 0), mpb.PrependDecorators(decor.Name(short(e.Artifact))), mpb.AppendDecorators(note))
		p.layers[e.Artifact.Digest] = bar
	}
	switch e.Event {
	case types.ProgressEventRead:
		bar.SetCurrent(int64(e.Offset))
	case types.ProgressEventDone, types.ProgressEventSkipped:
		bar.SetCurrent(max(e.Artifact.Size, int64(e.Offset)))
		bar.SetTotal(-1, true)
	}
}
