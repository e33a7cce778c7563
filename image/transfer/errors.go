package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"

	"github.com/docker/distribution/registry/api/errcode"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/signature"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// Errors of this package; match with errors.Is.
var (
	ErrInterrupted  = errors.New("interrupted, nothing was kept")
	ErrUnreachable  = errors.New("the registry can't be reached")
	ErrUnauthorized = errors.New("the registry refuses access")
	ErrNotThere     = errors.New("the registry has no such image")
	ErrCorrupt      = errors.New("what arrived is damaged")
	ErrPlatform     = errors.New("the image is not for this platform")
	ErrNoSpace      = errors.New("the disk is full")
	ErrTLS          = errors.New("the registry's TLS can't be trusted")
	ErrRejected     = errors.New("policy.json rejects the image")
	ErrConfig       = image.ErrConfig
)

// platformError lists what there is instead.
type platformError struct {
	want Platform
	have []string
}

func (e *platformError) Error() string {
	return fmt.Sprintf("%v: it is not there for %s but for %s; choose one with --platform", ErrPlatform, e.want, strings.Join(e.have, ", "))
}

func (e *platformError) Unwrap() error { return ErrPlatform }

func completed(p Platform) Platform {
	if p.OS == "" {
		p.OS = runtime.GOOS
	}
	if p.Arch == "" {
		p.Arch = runtime.GOARCH
	}
	return p
}

// remedy pairs words in an error of the libraries, which give few of them a type, with what to do. Digests, paths and
// names of images stand in these errors too, so no words may be what one of those can hold: not a number alone, nor tls:.
type remedy struct {
	words []string
	kind  error
	text  string
}

// explain turns what the libraries say into what happened, to which image, and what to do about it.
func explain(ctx context.Context, err error, name reference.Named, a Access, s *storage.Store) error {
	registry := reference.Domain(name)
	login := fmt.Sprintf("log in (docker login %[1]s or podman login %[1]s), or give --creds USER:PASSWORD", registry)
	if a.Creds != "" {
		login = "check the user name and password given with --creds"
	}
	var platform *platformError
	var unauthorized docker.ErrUnauthorizedForCredentials
	var code errcode.Error
	var policy signature.PolicyRequirementError
	var dns *net.DNSError
	var op *net.OpError
	errors.As(err, &code)
	wrap := func(kind error, text string) error {
		return fmt.Errorf("pull %q: %w; %s (%w)", name, kind, text, oneLine{err})
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("pull %q: %w", name, ErrInterrupted)
	case errors.As(err, &platform), errors.Is(err, ErrConfig):
		return fmt.Errorf("pull %q: %w", name, err)
	case errors.As(err, &policy):
		return wrap(ErrRejected, "change the policy for "+registry+" if the image is to be trusted")
	case errors.As(err, &unauthorized), code.Code == errcode.ErrorCodeUnauthorized, code.Code == errcode.ErrorCodeDenied:
		return wrap(ErrUnauthorized, login)
	case errors.As(err, &dns):
		return wrap(ErrUnreachable, "check the name "+registry+" and the network")
	}
	if r, ok := match(err, remedies(s, registry, login)); ok {
		return wrap(r.kind, r.text)
	}
	if errors.As(err, &op) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ETIMEDOUT) {
		return wrap(ErrUnreachable, "check that "+registry+" is up and the network lets you reach it")
	}
	return fmt.Errorf("pull %q: %w", name, oneLine{err})
}

// oneLine is an error of the libraries, which put one below another.
type oneLine struct{ error }

func (e oneLine) Error() string {
	return strings.Join(strings.FieldsFunc(e.error.Error(), func(r rune) bool { return r == '\n' }), "; ")
}

func (e oneLine) Unwrap() error { return e.error }

// match finds the first remedy whose words the error has.
func match(err error, all []remedy) (remedy, bool) {
	text := strings.ToLower(err.Error())
	for _, r := range all {
		for _, w := range r.words {
			if strings.Contains(text, w) {
				return r, true
			}
		}
	}
	return remedy{}, false
}

func remedies(s *storage.Store, registry, login string) []remedy {
	insecure := fmt.Sprintf("if you trust the network, give --tls-verify=false or set insecure = true for %s in registries.conf", registry)
	return []remedy{
		{[]string{"error getting credentials - err:", "docker-credential-"}, ErrConfig, "install the credential helper that the credentials file names, or take it out of the file"},
		{[]string{"getting username and password"}, ErrConfig, "mend the credentials file, or move it away and log in anew"},
		{[]string{"no space left on device", "disk quota exceeded"}, ErrNoSpace, "free space in " + s.GraphRoot() + " (proa rmi removes images)"},
		{[]string{"server gave http response to https client"}, ErrTLS, registry + " speaks HTTP; " + insecure},
		{[]string{": x509:", ": tls:"}, ErrTLS, "put its CA certificate into ~/.config/containers/certs.d/" + registry + "/ca.crt; " + insecure},
		{[]string{"manifest unknown", "name unknown", "not found", "statuscode: 404,"}, ErrNotThere, "check its name and tag"},
		{[]string{"unauthorized", "authentication required", "access to the resource is denied", "403 (forbidden)"}, ErrUnauthorized, login},
		{[]string{
			"digest did not match", "does not match", "unexpected eof", "invalid tar header", "digest mismatch",
			"size mismatch", "gzip: invalid", "breakout", "archive/tar", "flate:", "error parsing", "unpacking failed",
		}, ErrCorrupt, "nothing was kept; try again, and if it stays so tell the image's publisher"},
	}
}
