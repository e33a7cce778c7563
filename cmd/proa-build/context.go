package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerui"
	"golang.org/x/term"

	"github.com/proa-containers/proa/image/transfer"
	"github.com/proa-containers/proa/storage"
)

// inputs is what a build reads: directories and layouts by name, and what the frontend is told of them.
type inputs struct {
	locals, layouts map[string]string
	opts            map[string]string
	undo            []func()
}

func (in *inputs) close() {
	for _, f := range in.undo {
		f()
	}
}

// openContext finds the context, the Dockerfile and the further contexts.
func (o *buildOptions) openContext(ctx context.Context, a *app, s *storage.Store) (in *inputs, err error) {
	in = &inputs{locals: map[string]string{}, layouts: map[string]string{}, opts: map[string]string{}}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	remote, err := o.mainContext(in, a, s)
	if err == nil {
		err = o.dockerfile(ctx, in, a, s, remote)
	}
	for _, c := range o.contexts {
		if err == nil {
			err = in.named(c)
		}
	}
	return in, err
}

// directory makes one that goes with the build.
func (in *inputs) directory(s *storage.Store) (string, error) {
	dir, drop, err := s.Workspace()
	if err == nil {
		in.undo = append(in.undo, drop)
	}
	return dir, err
}

func isRemote(s string) bool {
	if _, ok, _ := dockerui.DetectGitContext(s, nil); ok {
		return true
	}
	_, _, ok := dockerui.DetectHTTPContext(s)
	return ok
}

func (o *buildOptions) mainContext(in *inputs, a *app, s *storage.Store) (remote bool, err error) {
	if o.context == "-" {
		return false, o.stdinContext(in, a, s)
	}
	if st, err := os.Stat(o.context); err == nil {
		if !st.IsDir() {
			return false, fmt.Errorf("the context %q is no directory; give its directory, and the Dockerfile with --file", o.context)
		}
		in.locals["context"] = o.context
		return false, nil
	} else if !isRemote(o.context) {
		return false, fmt.Errorf("the context %q: %w", o.context, errors.Unwrap(err))
	}
	in.opts["context"] = o.context
	return true, nil
}

// stdinContext takes a tar archive as the context, and anything else for a Dockerfile with an empty one.
func (o *buildOptions) stdinContext(in *inputs, a *app, s *storage.Store) error {
	if term.IsTerminal(int(a.in.Fd())) {
		return errors.New("standard input is a terminal: give a Dockerfile or a tar archive there, as in proa build - < FILE")
	}
	dir, err := in.directory(s)
	if err != nil {
		return err
	}
	in.locals["context"] = dir
	r := bufio.NewReaderSize(a.in, 64<<10)
	head, err := r.Peek(512)
	if err != nil && err != io.EOF {
		return fmt.Errorf("reading standard input: %w", err)
	}
	if isArchive(head) {
		if err := storage.UnpackTree(r, dir); err != nil {
			return fmt.Errorf("unpacking the context of standard input: %w", err)
		}
		return nil
	}
	if o.file != "" {
		return errors.New("standard input has no tar archive as the context, so that --file names nothing")
	}
	return writeDockerfile(filepath.Join(dir, "Dockerfile"), r)
}

// isArchive tells whether a file that begins with head is a tar archive, or compressed.
func isArchive(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		if strings.HasPrefix(string(head), magic) {
			return true
		}
	}
	return len(head) >= 262 && string(head[257:262]) == "ustar"
}

func writeDockerfile(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("reading the Dockerfile: %w", err)
	}
	return nil
}

// dockerfile finds the Dockerfile: of a remote context it is there.
func (o *buildOptions) dockerfile(ctx context.Context, in *inputs, a *app, s *storage.Store, remote bool) error {
	switch {
	case o.file == "-" || strings.HasPrefix(o.file, "http://") || strings.HasPrefix(o.file, "https://"):
		dir, err := in.directory(s)
		if err != nil {
			return err
		}
		r, err := o.openDockerfile(ctx, a)
		if err != nil {
			return err
		}
		defer r.Close()
		in.locals["dockerfile"], in.opts["dockerfilekey"] = dir, "dockerfile"
		return writeDockerfile(filepath.Join(dir, "Dockerfile"), r)
	case remote && o.file != "":
		in.opts["filename"] = o.file
		return nil
	case remote:
		return nil
	}
	file := o.file
	if file == "" {
		file = filepath.Join(in.locals["context"], "Dockerfile")
		if other := filepath.Join(in.locals["context"], "Containerfile"); !exists(file) && !exists(filepath.Join(in.locals["context"], "dockerfile")) && exists(other) {
			file = other
		}
	} else if o.context == "-" {
		file = filepath.Join(in.locals["context"], o.file)
	} else if !exists(file) && exists(filepath.Join(in.locals["context"], file)) { // as Podman takes it
		file = filepath.Join(in.locals["context"], file)
	}
	if !exists(file) && (o.file != "" || !exists(filepath.Join(in.locals["context"], "dockerfile"))) {
		return fmt.Errorf("there is no Dockerfile %q; name it with --file", file)
	}
	in.locals["dockerfile"], in.opts["filename"] = filepath.Dir(file), filepath.Base(file)
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (o *buildOptions) openDockerfile(ctx context.Context, a *app) (io.ReadCloser, error) {
	if o.file == "-" {
		return a.in, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.file, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching the Dockerfile: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching the Dockerfile: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("fetching the Dockerfile %q: the server answers %s", o.file, resp.Status)
	}
	return resp.Body, nil
}

// named is a --build-context.
func (in *inputs) named(c namedContext) error {
	key := "context:" + strings.TrimSuffix(strings.ToLower(c.name), ":latest")
	if path, ok := strings.CutPrefix(c.value, "oci-layout://"); ok {
		return in.layout(c, key, path)
	}
	if image, ok := strings.CutPrefix(c.value, "container-image://"); ok {
		c.value = "docker-image://" + image
	}
	if strings.HasPrefix(c.value, "docker-image://") || isRemote(c.value) {
		in.opts[key] = c.value
		return nil
	}
	st, err := os.Stat(c.value)
	if err != nil {
		return fmt.Errorf("--build-context %s: %w", c.name, err)
	}
	if !st.IsDir() {
		return fmt.Errorf("--build-context %s: %q is no directory", c.name, c.value)
	}
	name := "context-" + c.name
	in.locals[name], in.opts[key] = c.value, "local:"+name
	return nil
}

func (in *inputs) layout(c namedContext, key, path string) error {
	dir, digest, _ := strings.Cut(path, "@")
	tag := ""
	for i := range dir { // a name may have colons, and a directory too
		if dir[i] == ':' && exists(filepath.Join(dir[:i], "index.json")) {
			dir, tag = dir[:i], dir[i+1:]
			break
		}
	}
	if digest == "" {
		var err error
		if digest, err = transfer.LayoutDigest(dir, tag); err != nil {
			return fmt.Errorf("--build-context %s: %w", c.name, err)
		}
	}
	id := fmt.Sprint("layout", len(in.layouts))
	in.layouts[id] = dir
	in.opts[key] = "oci-layout://" + id + "@" + digest
	return nil
}

// frontend are the options of the frontend.
func (o *buildOptions) frontend(in *inputs) map[string]string {
	out := maps.Clone(o.opts)
	maps.Copy(out, in.opts)
	for k, v := range out {
		if v == "" && (k == "add-hosts" || k == "ulimit") {
			delete(out, k)
		}
	}
	return out
}
