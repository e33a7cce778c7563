package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/build/edit"
	ftree "github.com/proa-containers/proa/libpod/tree"
)

// http downloads a file into a tree of its own. Without a checksum the server is asked each time; a file that has the same
// content and time is the same layer.
func (s *Solver) http(ctx context.Context, v *vertex, op *pb.SourceOp) (tree, bool, error) {
	for _, a := range []string{pb.AttrHTTPSignatureVerify, pb.AttrHTTPSignatureVerifyPubKey} {
		if op.Attrs[a] != "" {
			return tree{}, false, errors.New("checking the signature of a download is not supported; give its --checksum")
		}
	}
	want := digest.Digest(op.Attrs[pb.AttrHTTPChecksum])
	name := op.Attrs[pb.AttrHTTPFilename]
	known := newKey("http")
	known.add(op.Identifier, name, want, op.Attrs[pb.AttrHTTPPerm], s.Latest.UnixNano())
	if want != "" && !s.NoCache && !v.meta.GetIgnoreCache() {
		if t, ok, err := s.cache.find(known.name(), tree{}); ok || err != nil {
			return t, ok, err
		}
	}
	dir, err := s.Host.Dir()
	if err != nil {
		return tree{}, false, err
	}
	defer os.RemoveAll(dir)
	d, err := s.download(ctx, op, want)
	if err != nil {
		return tree{}, false, fmt.Errorf("downloading %q: %w", op.Identifier, err)
	}
	defer d.file.Close()
	if name == "" {
		name = d.name
	}
	mode := uint32(0o600)
	if p := op.Attrs[pb.AttrHTTPPerm]; p != "" {
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil {
			return tree{}, false, fmt.Errorf("invalid mode %q of a download", p)
		}
		mode = uint32(n)
	}
	k := known
	if want == "" {
		k = newKey("http")
		k.add(op.Identifier, name, d.sum, d.time.Unix(), mode, s.Latest.UnixNano())
	}
	t, cached, err := s.grow(ctx, k.name(), v.name(), tree{}, false, "", func(root *os.File) error {
		if _, err := d.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return edit.Write(ctx, root, name, mode, d.file, edit.Made{Owner: &ftree.Owner{}, Time: &d.time})
	})
	return t, cached, err
}

type downloaded struct {
	file *os.File
	sum  digest.Digest
	name string
	time time.Time
}

// download fetches a URL into a file without a name in the store.
func (s *Solver) download(ctx context.Context, op *pb.SourceOp, want digest.Digest) (*downloaded, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, op.Identifier, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "proa")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	f, err := os.CreateTemp(s.cache.dir, ".download-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	algorithm := digest.Canonical
	if want != "" {
		algorithm = want.Algorithm()
	}
	sum := algorithm.Digester()
	if _, err := io.Copy(io.MultiWriter(f, sum.Hash()), resp.Body); err != nil {
		f.Close()
		return nil, err
	}
	d := &downloaded{file: f, sum: sum.Digest(), name: "download", time: time.Unix(0, 0)}
	if want != "" && d.sum != want {
		f.Close()
		return nil, fmt.Errorf("its checksum is %s, and %s was expected", d.sum, want)
	}
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		d.time = t
	}
	if _, p, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil && path.Base(p["filename"]) != "." && path.Base(p["filename"]) != "/" {
		d.name = path.Base(p["filename"])
	} else if base := path.Base(resp.Request.URL.Path); base != "." && base != "/" {
		d.name = base
	}
	return d, nil
}
