package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// PushOptions are those of Push.
type PushOptions struct {
	Access
	Destination      string // where to, in place of what the image's name says
	AllTags          bool   // every tag of a repository; the name has none
	Format           image.Format
	Compression      Compression
	RemoveSignatures bool
	Retry            Retry
	Output           Output
}

// Pushed is an image that Push brought to where it was to be.
type Pushed struct {
	Name   string        // as the registry has it, or the destination as it was given
	Tag    string        // of the name
	Digest digest.Digest // of the manifest that was sent
	Size   int           // of that manifest
}

// Push sends an image, or with AllTags all of a repository, to a registry, which is asked first what it has: layers that
// are there are not sent, and those another of its repositories has are mounted from it. The store learns the digests. Of
// several images those before the one that failed are there.
func Push(ctx context.Context, s *storage.Store, ref string, o PushOptions) ([]Pushed, error) {
	if err := o.Compression.check(o.Format); err != nil {
		return nil, err
	}
	w, err := s.NewTransfer()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	sys, err := systemContext(s, o.Access, Platform{}, w.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkConfig(sys, o.Access); err != nil {
		return nil, fmt.Errorf("push %q: %w", ref, err)
	}
	o.Compression.set(sys)
	jobs, err := pushJobs(s, sys, ref, o)
	if err != nil {
		return nil, err
	}
	restoreBlobInfo(ctx, s)
	var done []Pushed
	for _, j := range jobs {
		p, err := j.push(ctx, s, sys, o)
		if err != nil {
			return done, err
		}
		done = append(done, p)
	}
	keepBlobInfo(ctx, w)
	return done, nil
}

// pushJob is one image and where it goes.
type pushJob struct {
	imageID string
	name    string // of the destination
	tag     string // of it, if it is in a registry
	dest    types.ImageReference
	task    task
}

func pushJobs(s *storage.Store, sys *types.SystemContext, ref string, o PushOptions) ([]pushJob, error) {
	refs := []string{ref}
	if o.AllTags {
		if o.Destination != "" {
			return nil, errors.New("push takes either a destination or --all-tags")
		}
		if image.HasTag(ref) {
			return nil, fmt.Errorf("%q: --all-tags takes a name without a tag", ref)
		}
		var err error
		if refs, err = image.Tags(s, ref); err != nil {
			return nil, fmt.Errorf("push: %w", err)
		}
	}
	var jobs []pushJob
	for _, one := range refs {
		j, err := newPushJob(s, sys, one, ref, o)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// newPushJob is for the image that ref finds; given is what the user called it.
func newPushJob(s *storage.Store, sys *types.SystemContext, ref, given string, o PushOptions) (pushJob, error) {
	img, err := image.Lookup(s, ref)
	if err != nil {
		return pushJob{}, fmt.Errorf("push: %w", err)
	}
	j := pushJob{imageID: img.ID, name: o.Destination}
	if j.dest, err = fileDestination(o.Destination); err != nil || j.dest != nil {
		j.task = task{verb: pushVerb, object: o.Destination, registry: o.Destination, store: s, kept: "what was written of it can be removed"}
		return j, err
	}
	var named reference.Named
	if to := strings.TrimPrefix(o.Destination, "docker://"); to != "" {
		named, err = home(sys, to)
	} else {
		named, err = pushName(sys, img, given)
	}
	if err != nil {
		return pushJob{}, fmt.Errorf("push %q: %w", given, err)
	}
	if j.dest, err = docker.NewReference(named); err != nil {
		return pushJob{}, fmt.Errorf("push %q: %w", given, err)
	}
	j.name = named.String()
	if t, ok := named.(reference.Tagged); ok {
		j.tag = t.Tag()
	}
	j.task = task{
		verb: pushVerb, object: j.name, registry: reference.Domain(named), access: o.Access, store: s,
		kept: "the registry has no new image of that name",
	}
	return j, nil
}

func (j pushJob) push(ctx context.Context, s *storage.Store, sys *types.SystemContext, o PushOptions) (Pushed, error) {
	o.Output.printf("Pushing %s", j.name)
	var sent []byte
	err := o.Retry.do(ctx, o.Output, func() error {
		src, err := storedImage(s, j.imageID)
		if err != nil {
			return err
		}
		if j.tag != "" && o.Format == "" && o.Compression == (Compression{}) {
			if sent, err = sendAsItCame(ctx, sys, j.dest, src, o.Output); sent != nil || err != nil {
				return err
			}
		}
		progress := startProgress(o.Output, "pushing")
		sent, err = send(ctx, sys, j.dest, src, &copy.Options{
			RemoveSignatures:       o.RemoveSignatures,
			Progress:               progress.events,
			ProgressInterval:       progress.interval,
			ForceManifestMIMEType:  manifestType(o.Format),
			ForceCompressionFormat: o.Compression.Force,
		})
		progress.stop(err == nil)
		return err
	})
	if err != nil {
		return Pushed{}, j.task.explain(ctx, err)
	}
	sum, err := manifest.Digest(sent)
	if err != nil {
		return Pushed{}, err
	}
	if j.tag != "" {
		if err := known(s, j.imageID, sum, sent); err != nil {
			o.Output.printf("warning: the image was pushed, and the store does not know its digest: %v", err)
		}
	}
	return Pushed{Name: j.name, Tag: j.tag, Digest: sum, Size: len(sent)}, nil
}

// known records a manifest that an image was pushed with, so that it is found by that digest, as one that was pulled is.
func known(s *storage.Store, id string, sum digest.Digest, data []byte) error {
	rec, err := s.Image(id)
	if err != nil || rec.ReadOnly || slices.Contains(rec.Digests, sum) {
		return err
	}
	return s.AddManifest(id, sum, data)
}

// Retry says what to do when a push breaks off.
type Retry struct {
	Times *int          // nil: three times, but not when there is nobody to ask in the first place
	Delay time.Duration // between two; 0: a second, then twice as long each time
}

func (r Retry) do(ctx context.Context, out Output, try func() error) error {
	times := 3
	if r.Times != nil {
		times = *r.Times
	}
	delay := time.Second
	for n := 0; ; n++ {
		err := try()
		if err == nil || n >= times || ctx.Err() != nil || !passing(err, r.Times != nil) {
			return err
		}
		wait := delay << min(n, 5)
		if r.Delay > 0 {
			wait = r.Delay
		}
		out.printf("%v; trying again in %v", oneLine{err}, wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
