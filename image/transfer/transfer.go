// Package transfer moves images between the store and registries or archives: pull, push, load, save and import; and it
// logs in to registries. It links go.podman.io/image
// and all its transports, so only proa-image imports it; names and the store's records are package image's. It runs as
// root or as uid 0 of the user's namespace, and reads the ecosystem's configuration: registries.conf, policy.json,
// registries.d, certs.d, auth.json, docker's config.json.
package transfer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/configfile"

	"github.com/proa-containers/proa/storage"
)

// Access is how to reach a registry.
type Access struct {
	Creds     string // USER[:PASSWORD]; empty: auth.json and docker's config.json
	AuthFile  string // in place of the usual ones
	CertDir   string // in place of certs.d
	TLSVerify *bool  // nil: as registries.conf says
}

// Platform is OS/ARCH[/VARIANT]; empty fields are the host's.
type Platform struct{ OS, Arch, Variant string }

// ParsePlatform reads OS/ARCH[/VARIANT], or ARCH alone.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if p == "" || len(parts) > 3 {
			return Platform{}, fmt.Errorf("platform %q: want OS/ARCH[/VARIANT], such as linux/arm64", s)
		}
	}
	p := Platform{OS: "linux", Arch: parts[0]}
	if len(parts) > 1 {
		p = Platform{OS: parts[0], Arch: parts[1]}
	}
	if len(parts) > 2 {
		p.Variant = parts[2]
	}
	p.Arch = goArch(p.Arch)
	return p, nil
}

// goArch: the names that uname -m has for architectures are accepted, as Docker does.
func goArch(s string) string {
	switch s {
	case "x86_64", "x86-64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "i386", "i686":
		return "386"
	}
	return s
}

func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Output is where progress goes. A nil Writer is silent; a Terminal gets bars, anything else plain lines.
type Output struct {
	Writer   io.Writer
	Terminal bool
}

func (o Output) printf(format string, args ...any) {
	if o.Writer != nil {
		fmt.Fprintf(o.Writer, format+"\n", args...)
	}
}

func systemContext(s *storage.Store, a Access, p Platform, tmp string) (*types.SystemContext, error) {
	sys, err := a.systemContext()
	if err != nil {
		return nil, err
	}
	sys.OSChoice, sys.ArchitectureChoice, sys.VariantChoice = p.OS, p.Arch, p.Variant
	sys.BigFilesTemporaryDir = tmp
	sys.BlobInfoCacheDir = blobInfoDir(s)
	return sys, nil
}

// systemContext has what reaching a registry takes.
func (a Access) systemContext() (*types.SystemContext, error) {
	sys := &types.SystemContext{AuthFilePath: a.AuthFile, DockerCertPath: a.CertDir, DockerRegistryUserAgent: "proa"}
	if a.TLSVerify != nil {
		sys.DockerInsecureSkipTLSVerify = types.NewOptionalBool(!*a.TLSVerify)
	}
	if a.Creds != "" {
		user, password, _ := strings.Cut(a.Creds, ":")
		if user == "" {
			return nil, errors.New("credentials: want USER:PASSWORD")
		}
		sys.DockerAuthConfig = &types.DockerAuthConfig{Username: user, Password: password}
	}
	return sys, nil
}

// policyContext reads policy.json. Docker's users have none, and no file means that every image is accepted.
func policyContext(sys *types.SystemContext) (*signature.PolicyContext, error) {
	policy, err := signature.DefaultPolicy(sys)
	if errors.Is(err, configfile.ErrConfigFileNotFound) {
		policy, err = &signature.Policy{Default: []signature.PolicyRequirement{signature.NewPRInsecureAcceptAnything()}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w policy.json: %w; mend it or move it away", ErrConfig, oneLine{err})
	}
	return signature.NewPolicyContext(policy)
}

// checkConfig reads the configuration files before anything is asked of a registry, so that a broken one is called that.
func checkConfig(sys *types.SystemContext, a Access) error {
	if _, err := sysregistriesv2.GetRegistries(sys); err != nil {
		return fmt.Errorf("%w: %w; mend it or move it away", ErrConfig, oneLine{err})
	}
	policy, err := policyContext(sys)
	if err != nil {
		return err
	}
	_ = policy.Destroy()
	// The library takes files that are not there for empty ones.
	for what, path := range map[string]string{"credentials": a.AuthFile, "certificates": a.CertDir} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("read %s: %w; give a path that exists", what, err)
		}
	}
	return checkCertificates(a.CertDir)
}

// checkCertificates: the library passes over a file without a certificate.
func checkCertificates(dir string) error {
	if dir == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.crt"))
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read certificates: %w; make it readable", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return fmt.Errorf("%w %q: it has no certificate in PEM; mend it or move it away", ErrConfig, file)
		}
	}
	return nil
}

// opened is a reference whose source is open, so that what was asked of the registry is not asked again.
type opened struct {
	types.ImageReference
	source types.ImageSource
}

func (o *opened) NewImageSource(context.Context, *types.SystemContext) (types.ImageSource, error) {
	return o.source, nil
}

// copyImage copies from src, which it closes, to the store under name (nil: under its id alone) and returns the image's id.
func copyImage(ctx context.Context, w *storage.Transfer, sys *types.SystemContext, src *opened, name reference.Named, id string, out Output) (string, error) {
	policy, err := policyContext(sys)
	if err != nil {
		return "", errors.Join(err, src.source.Close())
	}
	defer func() { _ = policy.Destroy() }()
	if id, err := adopt(ctx, w.Store, sys, policy, src.source, name); id != "" || err != nil {
		return id, errors.Join(err, src.source.Close())
	}
	blobs, err := layerBlobs(ctx, sys, src.source)
	if err == nil {
		err = w.Expect(blobs)
	}
	if err != nil {
		return "", errors.Join(err, src.source.Close())
	}
	dest, err := istorage.Transport.NewStoreReference(w.Store.Library(), name, id)
	if err != nil {
		return "", errors.Join(fmt.Errorf("name image in storage: %w", err), src.source.Close())
	}
	var resolved types.ImageReference
	progress := startProgress(out, "pulling")
	_, err = copy.Image(ctx, policy, dest, src, &copy.Options{
		SourceCtx:               sys,
		DestinationCtx:          sys,
		Progress:                progress.events,
		ProgressInterval:        progress.interval,
		ReportResolvedReference: &resolved,
	})
	progress.stop(err == nil)
	if err != nil {
		return "", err
	}
	_, img, err := istorage.ResolveReference(resolved)
	if err != nil {
		return "", fmt.Errorf("look up the new image: %w", err)
	}
	return img.ID, nil
}

// layerBlobs are the digests of the layers that will be copied.
func layerBlobs(ctx context.Context, sys *types.SystemContext, src types.ImageSource) ([]digest.Digest, error) {
	blob, mime, err := src.GetManifest(ctx, nil)
	if err != nil {
		return nil, err
	}
	if manifest.MIMETypeIsMultiImage(mime) {
		list, err := manifest.ListFromBlob(blob, mime)
		if err != nil {
			return nil, err
		}
		chosen, err := list.ChooseInstance(sys)
		if err != nil {
			return nil, err
		}
		if blob, mime, err = src.GetManifest(ctx, &chosen); err != nil {
			return nil, err
		}
	}
	m, err := manifest.FromBlob(blob, mime)
	if err != nil {
		return nil, err
	}
	var blobs []digest.Digest
	for _, l := range m.LayerInfos() {
		blobs = append(blobs, l.Digest)
	}
	return blobs, nil
}
