package layers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/build/edit"
	ftree "github.com/proa-containers/proa/libpod/tree"
)

var commitID = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// git checks a commit of a repository out into a tree of its own. What was fetched is kept for the next build.
func (s *Solver) git(ctx context.Context, v *vertex, op *pb.SourceOp, id string) (tree, bool, error) {
	for _, a := range []string{pb.AttrGitBundle, pb.AttrGitSignatureVerifyPubKey, pb.AttrGitCheckoutBundle, pb.AttrGitMTime} {
		if op.Attrs[a] != "" {
			return tree{}, false, fmt.Errorf("the option %q of a git source is not supported", a)
		}
	}
	url := op.Attrs[pb.AttrFullRemoteURL]
	_, fragment, _ := strings.Cut(id, "#")
	ref, sub, _ := strings.Cut(fragment, ":")
	if _, err := exec.LookPath("git"); err != nil {
		return tree{}, false, fmt.Errorf("fetching %q: git is not installed; install the package git", url)
	}
	sum := sha256.Sum256([]byte(url))
	g := &repository{dir: s.cache.path("git/" + shortHash(sum[:])), url: url}
	lock, err := g.open(ctx)
	if err != nil {
		return tree{}, false, fmt.Errorf("fetching %q: %w", url, err)
	}
	defer lock.Close()
	commit, err := g.fetch(ctx, ref)
	if err != nil {
		return tree{}, false, fmt.Errorf("fetching %q: %w", url, err)
	}
	if want := op.Attrs[pb.AttrGitChecksum]; want != "" && !strings.HasPrefix(commit, want) {
		return tree{}, false, fmt.Errorf("fetching %q: %q is commit %s, and %s was expected", url, ref, commit, want)
	}
	k := newKey("git")
	keep := op.Attrs[pb.AttrKeepGitDir] == "true"
	skip := op.Attrs[pb.AttrGitSkipSubmodules] == "true"
	k.add(url, commit, sub, keep, skip, s.Latest.UnixNano())
	return s.grow(ctx, k.name(), v.name(), tree{}, false, "", func(root *os.File) error {
		dir, err := os.MkdirTemp(g.dir, ".checkout-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := g.checkout(ctx, dir, ref, commit, keep, skip); err != nil {
			return fmt.Errorf("checking out %q of %q: %w", ref, url, err)
		}
		top, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer top.Close()
		c := &edit.Copy{From: edit.From{Root: top, Owner: &ftree.Owner{}}, Src: path.Join("/", sub), Dest: "/", Contents: true, MakeParents: true, Warn: s.warner(v)}
		return c.Run(ctx, root)
	})
}

// repository is a bare one that keeps what was fetched.
type repository struct{ dir, url string }

func (g *repository) open(ctx context.Context) (*os.File, error) {
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(g.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, lock, unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	left, _ := filepath.Glob(filepath.Join(g.dir, ".checkout-*"))
	for _, l := range left { // of builds that were killed
		os.RemoveAll(l)
	}
	if _, err := os.Stat(g.bare() + "/HEAD"); err != nil {
		if _, err := g.run(ctx, "init", "--quiet", "--bare", g.bare()); err != nil {
			lock.Close()
			return nil, err
		}
	}
	return lock, nil
}

func (g *repository) bare() string { return filepath.Join(g.dir, "bare") }

// fetch brings a branch, a tag or a commit, and returns the commit's id.
func (g *repository) fetch(ctx context.Context, ref string) (string, error) {
	git := []string{"--git-dir", g.bare()}
	if commitID.MatchString(ref) {
		if _, err := g.run(ctx, append(git, "cat-file", "-e", ref+"^{commit}")...); err == nil {
			return ref, nil
		}
	}
	if ref == "" {
		ref = "HEAD"
	}
	if strings.HasPrefix(ref, "-") {
		return "", fmt.Errorf("invalid reference %q", ref)
	}
	fetch := append(git, "fetch", "--quiet", "--force", "--no-tags", g.url, ref+":refs/proa/fetched")
	_, err := g.run(ctx, append(fetch, "--depth=1")...)
	if err != nil && strings.Contains(err.Error(), "shallow") { // a plain web server gives whole histories alone
		_, err = g.run(ctx, fetch...)
	}
	if err != nil && commitID.MatchString(ref) { // not every server gives a commit by its id
		_, err = g.run(ctx, append(git, "fetch", "--quiet", "--force", "--tags", g.url, "+refs/heads/*:refs/heads/*")...)
		if err == nil {
			return ref, nil
		}
	}
	if err != nil {
		return "", err
	}
	out, err := g.run(ctx, append(git, "rev-parse", "refs/proa/fetched^{commit}")...)
	return strings.TrimSpace(out), err
}

// checkout writes the files of a commit to dir, with its own .git if it is to be kept.
func (g *repository) checkout(ctx context.Context, dir, ref, commit string, keep, skip bool) error {
	work := []string{"-C", dir}
	steps := [][]string{
		{"init", "--quiet", dir},
		append(work, "fetch", "--quiet", "--depth=1", "--update-shallow", g.bare(), commit),
		append(work, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", commit),
		append(work, "remote", "add", "origin", g.url),
	}
	if !skip {
		steps = append(steps, append(work, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"))
	}
	if _, err := g.run(ctx, "--git-dir", g.bare(), "config", "uploadpack.allowAnySHA1InWant", "true"); err != nil {
		return err
	}
	for _, args := range steps {
		if _, err := g.run(ctx, args...); err != nil {
			return err
		}
	}
	if keep {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, ".git"))
}

// run runs git, which asks nobody anything.
func (g *repository) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "protocol.file.allow=user", "-c", "safe.directory=*"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return "", fmt.Errorf("git: %s", strings.TrimPrefix(lines[len(lines)-1], "fatal: "))
	}
	return string(out), err
}
