package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"go.podman.io/image/v5/pkg/compression"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// ImportOptions are those of Import.
type ImportOptions struct {
	Name     string // as image.LocalName gives it; empty: none
	Changes  []string
	Message  string
	Platform Platform
}

// Import makes an image of a root file system's archive, compressed or not: source is a file's path, an http or https URL,
// or "-" for in.
func Import(ctx context.Context, s *storage.Store, source string, in io.Reader, o ImportOptions) (*image.Image, error) {
	p := completed(o.Platform)
	c := image.CommitOptions{
		Base:    &image.Image{OS: p.OS, Architecture: p.Arch, Variant: p.Variant},
		Message: o.Message, CreatedBy: "/bin/sh -c #(nop) ADD file from " + source + " in /", Format: image.OCI, Name: o.Name,
	}
	if c.Message == "" {
		c.Message = "Imported from " + source
	}
	if err := c.Config.Change(o.Changes); err != nil {
		return nil, err
	}
	body, err := openImport(ctx, source, in)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer body.Close()
	img, err := importLayer(ctx, s, body, c)
	if err != nil {
		return nil, fmt.Errorf("import %q: %w", source, explainLoad(ctx, err, s))
	}
	return img, nil
}

func importLayer(ctx context.Context, s *storage.Store, body io.Reader, c image.CommitOptions) (*image.Image, error) {
	plain, _, err := compression.AutoDecompress(&cancelReader{ctx, body})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer plain.Close()
	c.Layer = plain
	return image.Commit(s, c)
}

func openImport(ctx context.Context, source string, in io.Reader) (io.ReadCloser, error) {
	switch {
	case source == "-":
		return io.NopCloser(in), nil
	case !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://"):
		f, err := os.Open(source)
		if err != nil {
			return nil, err
		}
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, errors.Join(fmt.Errorf("%q is a directory; give an archive of it", source), f.Close())
		}
		return f, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "proa")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("get %q: the server answers %s", source, resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}
