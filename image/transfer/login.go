package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/image"
)

// ErrNotLoggedIn: no file and no credential helper knows the registry.
var ErrNotLoggedIn = errors.New("not logged in")

// Keychain is where credentials are kept: auth.json, or the credential helpers that registries.conf or the file names.
// No password ever stands on a helper's command line: they take it from their standard input.
type Keychain struct {
	registry string // as the files have it: HOST[:PORT] or HOST[:PORT]/NAMESPACE
	access   Access
	sys      *types.SystemContext
}

// KeychainOptions say which registry, and in which file.
type KeychainOptions struct {
	Access
	Registry       string // empty: Docker Hub
	CompatAuthFile string // in the form of Docker's config.json, in place of an AuthFile
}

// OpenKeychain checks the options; it reads nothing but the configuration.
func OpenKeychain(o KeychainOptions) (*Keychain, error) {
	registry, err := registryName(o.Registry)
	if err != nil {
		return nil, err
	}
	if o.AuthFile != "" && o.CompatAuthFile != "" {
		return nil, errors.New("give either --authfile or --compat-auth-file")
	}
	read := o.Access
	read.AuthFile = "" // it may be about to be made
	sys, err := o.systemContext()
	if err != nil {
		return nil, err
	}
	if err := checkConfig(sys, read); err != nil {
		return nil, err
	}
	sys.DockerCompatAuthFilePath = o.CompatAuthFile
	if sys.AuthFilePath == "" && o.CompatAuthFile == "" && os.Getenv("XDG_RUNTIME_DIR") == "" && os.Geteuid() != 0 {
		// The usual place is in a directory that this user then can't make; this is the next that everybody reads.
		if sys.AuthFilePath, err = homeAuthFile(); err != nil {
			return nil, err
		}
	}
	return &Keychain{registry, o.Access, sys}, nil
}

func homeAuthFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find a place for credentials: %w; give --authfile", err)
	}
	return filepath.Join(dir, "containers", "auth.json"), nil
}

// registryName takes what Docker's users write for a registry.
func registryName(s string) (string, error) {
	name := strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	if name != s { // a URL's path is not of the registry's name
		name, _, _ = strings.Cut(name, "/")
	}
	switch name = strings.TrimSuffix(name, "/"); name {
	case "", "index.docker.io", "registry-1.docker.io":
		return "docker.io", nil
	}
	if strings.ContainsAny(name, "@ \t\n?#") || strings.HasPrefix(name, "/") || strings.Contains(name, "//") {
		return "", fmt.Errorf("%w %q: want HOST[:PORT], as registry.example:5000", image.ErrName, s)
	}
	return name, nil
}

// Registry is the name that the credentials are kept under.
func (k *Keychain) Registry() string { return k.registry }

// Get is what is kept; the user is empty when nothing is. ErrConfig when a file or helper fails.
func (k *Keychain) Get() (user, password string, err error) {
	auth, err := config.GetCredentials(k.sys, k.registry)
	if err != nil {
		return "", "", k.task().explain(context.Background(), fmt.Errorf("getting username and password: %w", err))
	}
	if auth.IdentityToken != "" {
		return "<token>", auth.IdentityToken, nil
	}
	return auth.Username, auth.Password, nil
}

// Try asks the registry whether it takes them.
func (k *Keychain) Try(ctx context.Context, user, password string) error {
	host, _, _ := strings.Cut(k.registry, "/")
	if err := docker.CheckAuth(ctx, k.sys, user, password, host); err != nil {
		return k.task().explain(ctx, err)
	}
	return nil
}

// Set keeps them and tells where.
func (k *Keychain) Set(user, password string) (where string, err error) {
	where, err = config.SetCredentials(k.sys, k.registry, user, password)
	if err != nil {
		return "", fmt.Errorf("keep the credentials for %q: %w", k.registry, oneLine{err})
	}
	return where, nil
}

// Remove forgets them. ErrNotLoggedIn when there are none; when there still are some after it, in a file that another
// tool keeps, the error says so.
func (k *Keychain) Remove() error {
	err := config.RemoveAuthentication(k.sys, k.registry)
	if err != nil && !errors.Is(err, config.ErrNotLoggedIn) {
		return fmt.Errorf("log out of %q: %w", k.registry, oneLine{err})
	}
	user, _, left := k.Get()
	switch {
	case left != nil:
		return left
	case user != "":
		return fmt.Errorf("log out of %q: credentials of %q are left in another file, as ~/.docker/config.json; remove them with the tool that logged in, or give that file with --compat-auth-file", k.registry, user)
	case err != nil:
		return fmt.Errorf("%w to %s", ErrNotLoggedIn, k.registry)
	}
	return nil
}

// RemoveAll forgets all that the file and the helpers have.
func (k *Keychain) RemoveAll() error {
	if err := config.RemoveAllAuthentication(k.sys); err != nil {
		return fmt.Errorf("log out of all registries: %w", oneLine{err})
	}
	return nil
}

func (k *Keychain) task() task {
	host, _, _ := strings.Cut(k.registry, "/")
	return task{verb: loginVerb, object: k.registry, registry: host, access: k.access, kept: "nothing was kept"}
}
