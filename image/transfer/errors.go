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
	ErrInterrupted  = errors.New("interrupted")
	ErrUnreachable  = errors.New("the registry can't be reached")
	ErrUnauthorized = errors.New("the registry refuses access")
	ErrNotThere     = errors.New("the registry has no such image")
	ErrCorrupt      = errors.New("what arrived is damaged")
	ErrPlatform     = errors.New("the image is not for this platform")
	ErrNoSpace      = errors.New("the disk is full")
	ErrTLS          = errors.New("the registry's TLS can't be trusted")
	ErrRejected     = errors.New("policy.json rejects the image")
	ErrNoRegistry   = errors.New("there is no such registry or repository")
	ErrSigned       = errors.New("the image's signatures can't be kept")
	ErrConfig       = image.ErrConfig
)

// The verbs of tasks that differ from a pull in what is to be done about an error.
const (
	pushVerb  = "push"
	loginVerb = "log in to"
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

// task is what is asked of a registry, for the errors that come of it.
type task struct {
	verb     string // as in "pull"
	object   string // the image, or the registry itself
	registry string
	access   Access
	store    *storage.Store // nil: nothing is kept on this host
	kept     string         // what is left of it after an interruption
}

func pullTask(name reference.Named, a Access, s *storage.Store) task {
	return task{verb: "pull", object: name.String(), registry: reference.Domain(name), access: a, store: s, kept: "nothing was kept"}
}

// explain turns what the libraries say into what happened, to which image, and what to do about it.
func (t task) explain(ctx context.Context, err error) error {
	var platform *platformError
	var unauthorized docker.ErrUnauthorizedForCredentials
	var code errcode.Error
	var policy signature.PolicyRequirementError
	var dns *net.DNSError
	var op *net.OpError
	if !errors.As(err, &code) {
		errors.As(err, &code.Code) // one that says no more than its code
	}
	wrap := func(kind error, text string) error {
		return fmt.Errorf("%s %q: %w; %s (%w)", t.verb, t.object, kind, text, oneLine{err})
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %q: %w, %s", t.verb, t.object, ErrInterrupted, t.kept)
	case errors.As(err, &platform), errors.Is(err, ErrConfig):
		return fmt.Errorf("%s %q: %w", t.verb, t.object, err)
	case errors.As(err, &policy):
		return wrap(ErrRejected, "change the policy for "+t.registry+" if the image is to be trusted")
	case errors.As(err, &unauthorized), code.Code == errcode.ErrorCodeUnauthorized, code.Code == errcode.ErrorCodeDenied:
		return wrap(ErrUnauthorized, t.login())
	case errors.As(err, &dns):
		return wrap(ErrUnreachable, "check the name "+t.registry+" and the network")
	}
	if r, ok := match(err, t.remedies()); ok {
		return wrap(r.kind, r.text)
	}
	if errors.As(err, &op) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ETIMEDOUT) {
		return wrap(ErrUnreachable, t.unreachable())
	}
	return fmt.Errorf("%s %q: %w", t.verb, t.object, oneLine{err})
}

// login is what to do when access is refused.
func (t task) login() string {
	switch {
	case t.verb == loginVerb:
		return "check the user name and password"
	case t.access.Creds != "":
		return "check the user name and password given with --creds"
	}
	text := fmt.Sprintf("log in (proa login %s), or give --creds USER:PASSWORD", t.registry)
	if t.verb == pushVerb {
		text += "; who is logged in may lack the right to push there"
	}
	return text
}

func (t task) unreachable() string {
	text := "check that " + t.registry + " is up and the network lets you reach it"
	if t.verb == pushVerb && t.registry == "localhost" {
		text += "; localhost/ is what images are named after that were made here: to push one elsewhere give the name it is to have there as well"
	}
	return text
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

func (t task) remedies() []remedy {
	insecure := fmt.Sprintf("if you trust the network, give --tls-verify=false or set insecure = true for %s in registries.conf", t.registry)
	missing := remedy{[]string{"manifest unknown", "name unknown", "not found", "statuscode: 404,"}, ErrNotThere, "check its name and tag"}
	damaged := "nothing was kept; try again, and if it stays so tell the image's publisher"
	full := "free space"
	if t.store != nil {
		full = "free space in " + t.store.GraphRoot() + " (proa rmi removes images)"
	}
	switch t.verb {
	case pushVerb:
		missing.kind, missing.text = ErrNoRegistry, "check the name "+t.registry+", and whether the repository has to be made there first"
		damaged = "the registry did not take it as it was sent; try again, and if it stays so tell who runs the registry"
	case loginVerb:
		missing.kind, missing.text = ErrNoRegistry, "check the name "+t.registry
	}
	return []remedy{
		{[]string{"error getting credentials - err:", "docker-credential-"}, ErrConfig, "install the credential helper that the credentials file names, or take it out of the file"},
		{[]string{"getting username and password"}, ErrConfig, "mend the credentials file, or move it away and log in anew"},
		{[]string{"no space left on device", "disk quota exceeded"}, ErrNoSpace, full},
		{[]string{"server gave http response to https client"}, ErrTLS, t.registry + " speaks HTTP; " + insecure},
		{[]string{": x509:", ": tls:"}, ErrTLS, "put its CA certificate into ~/.config/containers/certs.d/" + t.registry + "/ca.crt; " + insecure},
		{[]string{"can not copy signatures", "which we cannot do"}, ErrSigned, "give --remove-signatures to push it without"},
		missing,
		{[]string{"unauthorized", "authentication required", "access to the resource is denied", "403 (forbidden)", "statuscode: 403,"}, ErrUnauthorized, t.login()},
		{[]string{
			"digest did not match", "does not match", "digest invalid", "size invalid", "unexpected eof", "invalid tar header", "digest mismatch",
			"size mismatch", "gzip: invalid", "breakout", "archive/tar", "flate:", "error parsing", "unpacking failed",
		}, ErrCorrupt, damaged},
	}
}
