package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bk "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/build"
	"github.com/proa-containers/proa/build/base"
	"github.com/proa-containers/proa/build/frontend"
	"github.com/proa-containers/proa/build/layers"
	"github.com/proa-containers/proa/build/output"
	"github.com/proa-containers/proa/build/sandbox"
	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/skeleton"
	"github.com/proa-containers/proa/storage"
)

func newBuild(a *app) *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "build an image from a Dockerfile",
		ArgsUsage: "PATH|URL|-",
		Flags:     buildFlags(),
		Action:    func(c *cli.Context) error { return runBuild(a, c) },
	}
}

func runBuild(a *app, c *cli.Context) error {
	o, err := parseBuild(c)
	if err != nil {
		return err
	}
	show, err := startDisplay(c.Context, a, o.progress)
	if err != nil {
		return err
	}
	s, err := a.store(c)
	if err == nil {
		err = o.build(c.Context, a, s, show)
	} else {
		show.end()
	}
	if err == nil {
		return nil
	}
	if c.Context.Err() != nil {
		fmt.Fprintln(a.err, "proa: the build was interrupted; what was done of it is in the cache")
		return &exitError{130}
	}
	for _, src := range errdefs.Sources(err) {
		fmt.Fprintln(a.err)
		_ = src.Print(a.err)
	}
	fmt.Fprintln(a.err, "proa: build:", err)
	return &exitError{1}
}

// build builds and puts out what was made.
func (o *buildOptions) build(ctx context.Context, a *app, s *storage.Store, show *display) (err error) {
	ended := false
	end := func() {
		if !ended {
			show.end()
			ended = true
		}
	}
	defer end()
	in, err := o.openContext(ctx, a, s)
	if err != nil {
		return err
	}
	defer in.close()
	solver, err := o.solver(ctx, a, s, in, show.tell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, solver.Close(ctx)) }()
	res, err := frontend.Run(ctx, solver, o.frontend(in), show.tell)
	if err != nil {
		return err
	}
	if o.call != "" {
		end()
		return o.answer(a, res)
	}
	done, err := o.export(ctx, a, s, res, show.tell)
	if err != nil {
		return err
	}
	end()
	return done()
}

func (o *buildOptions) solver(ctx context.Context, a *app, s *storage.Store, in *inputs, tell build.Progress) (*layers.Solver, error) {
	beneath, err := skeleton.Dir(a.paths.DataDir)
	if err != nil {
		return nil, err
	}
	host := &sandbox.Host{
		Init: func() (*os.File, error) {
			return initbin.Open(rootless.Holder(filepath.Join(a.paths.RunDir, "pause.lock")))
		},
		Cache: filepath.Join(a.paths.DataDir, "cache"),
	}
	if err := host.Open(filepath.Join(a.paths.RunDir, "build")); err != nil {
		return nil, err
	}
	lo := layers.Options{
		Store: s, Locals: in.locals, Layouts: in.layouts, Images: &base.Finder{Store: s, Pull: o.pull}, Host: host, Beneath: beneath,
		Progress: tell, Step: o.step, Secrets: o.secrets, Agents: o.agents, Jobs: o.jobs, Insecure: o.insecure,
	}
	if o.epoch != nil {
		lo.Latest = *o.epoch
	}
	return layers.New(ctx, lo)
}

// export makes of the result what was asked for; done says so when the display has gone.
func (o *buildOptions) export(ctx context.Context, a *app, s *storage.Store, res *frontend.Result, tell build.Progress) (done func() error, err error) {
	top, err := res.Tree.Layer(ctx)
	if err != nil {
		return nil, err
	}
	if o.squash != "" {
		if top, err = o.squashed(ctx, s, top, res); err != nil {
			return nil, err
		}
	}
	var id string
	err = step(tell, "exporting to "+o.output.Type, func() error {
		id, err = o.put(ctx, a, s, top, res, tell)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func() error { return o.say(a, id) }, nil
}

// step shows a piece of work beside the steps of the build.
func step(tell build.Progress, name string, f func() error) error {
	began := time.Now()
	v := bk.Vertex{Digest: digest.FromString(name), Name: name, Started: &began}
	first := v
	tell(&bk.SolveStatus{Vertexes: []*bk.Vertex{&first}})
	err := f()
	ended := time.Now()
	if v.Completed = &ended; err != nil {
		v.Error = err.Error()
	}
	tell(&bk.SolveStatus{Vertexes: []*bk.Vertex{&v}})
	return err
}

func (o *buildOptions) put(ctx context.Context, a *app, s *storage.Store, top string, res *frontend.Result, tell build.Progress) (string, error) {
	switch o.output.Type {
	case "local", "tar":
		if err := o.writeMeta(nil); err != nil {
			return "", err
		}
	}
	switch o.output.Type {
	case "local":
		return "", output.Local(ctx, s, top, o.output.Dest)
	case "tar":
		return "", output.Tar(ctx, s, top, o.output.Dest, a.out)
	}
	img, err := output.Image(s, top, o.config(res), output.ImageOptions{Names: o.tags, Format: o.format, Epoch: o.epoch})
	if err != nil {
		return "", err
	}
	now := time.Now()
	on := digest.FromString("exporting to " + o.output.Type)
	for _, line := range append([]string{"writing image sha256:" + img.ID}, prefixed("naming to ", o.tags)...) {
		tell(&bk.SolveStatus{Statuses: []*bk.VertexStatus{{ID: line, Vertex: on, Timestamp: now, Started: &now, Completed: &now}}})
	}
	if err := o.writeMeta(img); err != nil || o.output.Type == "image" {
		return img.ID, err
	}
	return img.ID, o.archive(ctx, a, s, img)
}

func prefixed(prefix string, list []string) (out []string) {
	for _, s := range list {
		out = append(out, prefix+s)
	}
	return out
}

func (o *buildOptions) config(res *frontend.Result) []byte {
	return res.Meta[exptypes.ExporterImageConfigKey]
}

// say writes the image's id where it was asked for.
func (o *buildOptions) say(a *app, id string) error {
	if id == "" {
		return nil
	}
	if o.iidfile != "" {
		if err := os.WriteFile(o.iidfile, []byte("sha256:"+id), 0o644); err != nil {
			return fmt.Errorf("writing --iidfile: %w; the image is sha256:%s", err, id)
		}
	}
	if o.progress == "quiet" && !o.output.toStdout() {
		_, err := fmt.Fprintln(a.out, "sha256:"+id)
		return err
	}
	return nil
}

// answer prints what a question to the frontend was answered with, as --check and --call ask.
func (o *buildOptions) answer(a *app, res *frontend.Result) error {
	text := strings.TrimRight(string(res.Meta["result.txt"]), "\n")
	if text != "" {
		if _, err := fmt.Fprintln(a.out, text); err != nil {
			return err
		}
	}
	if code := string(res.Meta["result.statuscode"]); code != "" && code != "0" {
		return &exitError{1}
	}
	return nil
}
