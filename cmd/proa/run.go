package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func newRunCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "make a container from an image and run it",
		ArgsUsage: "IMAGE [COMMAND...]",
		Flags: append(append(createFlags(), attachFlags()...),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "leave the container in the background and print its id"},
			&cli.StringSliceFlag{Name: "attach", Aliases: []string{"a"}, Usage: "attach to `STREAM` alone: stdin, stdout or stderr"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress of a pull"},
		),
		Action: func(c *cli.Context) error { return runRun(a, c) },
	}
}

func runRun(a *app, c *cli.Context) error {
	ctr, err := parseCreate(a, c)
	if err != nil {
		return err
	}
	s, err := newSession(a, c, ctr)
	if err != nil {
		return err
	}
	if s.engine, err = a.engine(c.Context); err != nil {
		return err
	}
	if err := s.engine.ResolveNetworks(ctr); err != nil {
		return err
	}
	img, warm, err := a.warmUp(c, s.engine, ctr)
	defer warm.Cancel()
	if err != nil {
		return err
	}
	cid, err := reserveCIDFile(c.String("cidfile"))
	if err != nil {
		return err
	}
	detach := c.Bool("detach")
	o := libpod.StartOptions{Attach: !detach, Size: terminalSize(int(a.in.Fd())), Warm: warm}
	s.conn, err = s.engine.Run(c.Context, ctr, img, o, func() error {
		return cid.write(ctr.ID)
	})
	if err != nil {
		cid.dropEmpty()
		return startFailed(err)
	}
	if detach {
		fmt.Fprintln(a.out, ctr.ID)
		return nil
	}
	return s.carry(c.Context)
}

// warmUp finds the image and starts the monitor, which then sets up the networks; that is at the same time, unless the
// image has to say first which ports are published.
func (a *app) warmUp(c *cli.Context, e *libpod.Engine, ctr *libpod.Container) (*image.Image, *libpod.Warm, error) {
	if ctr.PublishAll {
		img, err := a.containerImage(c, e, ctr, nil)
		if err != nil {
			return nil, nil, err
		}
		ctr.CompletePorts(img)
		return img, e.Warm(c.Context, ctr), nil
	}
	warm := e.Warm(c.Context, ctr)
	img, err := a.containerImage(c, e, ctr, warm)
	return img, warm, err
}

// startFailed gives the error of a container that did not start the exit code that says so.
func startFailed(err error) error {
	var start *libpod.StartError
	if errors.As(err, &start) {
		return &exitError{start.Code, err}
	}
	return err
}

// newSession works out from the options what the foreground is attached to.
func newSession(a *app, c *cli.Context, ctr *libpod.Container) (*session, error) {
	s := &session{app: a, ctr: ctr, stdin: ctr.Stdin, sigProxy: c.Bool("sig-proxy"), out: a.out, err: a.err}
	if c.Bool("detach") {
		if c.IsSet("attach") {
			return nil, errors.New("--detach and --attach contradict each other")
		}
		return s, nil
	}
	if ctr.Terminal && ctr.Stdin && !term.IsTerminal(int(a.in.Fd())) {
		return nil, errNoTerminal
	}
	if list := c.StringSlice("attach"); len(list) > 0 {
		s.stdin, s.out, s.err = false, nil, nil
		for _, name := range list {
			switch strings.ToLower(name) {
			case "stdin":
				s.stdin, ctr.Stdin = true, true
			case "stdout":
				s.out = a.out
			case "stderr":
				s.err = a.err
			default:
				return nil, fmt.Errorf("invalid --attach %q: stdin, stdout or stderr", name)
			}
		}
	}
	var err error
	s.keys, err = parseKeys(c.String("detach-keys"))
	return s, err
}

// parseKeys reads detach keys as Docker writes them: single characters or ctrl- and one of a-z @ [ \ ] ^ _, by commas.
func parseKeys(s string) ([]byte, error) {
	var keys []byte
	if s == "" {
		return nil, nil
	}
	for _, k := range strings.Split(s, ",") {
		c, ctrl := strings.CutPrefix(strings.ToLower(k), "ctrl-")
		switch {
		case ctrl && len(c) == 1 && (c[0] >= 'a' && c[0] <= 'z'):
			keys = append(keys, c[0]-'a'+1)
		case ctrl && len(c) == 1 && strings.Contains(`@[\]^_`, c):
			keys = append(keys, c[0]&0x1f)
		case !ctrl && len(k) == 1:
			keys = append(keys, k[0])
		default:
			return nil, fmt.Errorf("invalid --detach-keys %q: characters or ctrl-x, by commas", s)
		}
	}
	return keys, nil
}

// containerImage is the image of a container that is to be made; nil with --rootfs.
func (a *app) containerImage(c *cli.Context, e *libpod.Engine, ctr *libpod.Container, warm *libpod.Warm) (*image.Image, error) {
	if ctr.Rootfs != "" {
		return nil, nil
	}
	return a.findImage(c, e, ctr.Image, warm)
}

// findImage looks the image up, pulling it by --pull's rule.
func (a *app) findImage(c *cli.Context, e *libpod.Engine, name string, warm *libpod.Warm) (*image.Image, error) {
	policy := c.String("pull")
	platform, err := parsePlatform(c)
	if err != nil {
		return nil, err
	}
	var img *image.Image
	err = image.ErrNotFound
	if policy != "always" {
		img, err = e.Image(name)
	}
	if err == nil && !ofPlatform(img, platform) {
		// Docker's rule: a local image of another platform is not the one that was asked for.
		err = fmt.Errorf("%w of platform %s: %q is here for %s/%s", image.ErrNotFound, platform, name, img.OS, img.Architecture)
	}
	if !errors.Is(err, image.ErrNotFound) {
		return img, err
	}
	if policy == "never" {
		return nil, fmt.Errorf("%w; pull it first, or leave out --pull never", err)
	}
	warm.Cancel() // a pull may take long
	args := []string{"pull"}
	if platform != "" {
		args = append(args, "--platform", platform)
	}
	if file := c.String("authfile"); file != "" {
		args = append(args, "--authfile", file)
	}
	if c.IsSet("tls-verify") {
		args = append(args, "--tls-verify="+strconv.FormatBool(c.Bool("tls-verify")))
	}
	if c.Bool("quiet") {
		args = append(args, "--quiet")
	}
	out, err := a.runImageProgram(c.Context, append(args, name))
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(out)
	if len(lines) == 0 {
		return nil, fmt.Errorf("pulling %q: proa-image named no image", name)
	}
	return e.ImageAfterPull(lines[len(lines)-1])
}

// ofPlatform tells whether img is for platform, OS/ARCH[/VARIANT]; an empty one is any.
func ofPlatform(img *image.Image, platform string) bool {
	p := strings.Split(platform, "/")
	return platform == "" || len(p) > 1 && p[0] == img.OS && p[1] == img.Architecture && (len(p) < 3 || p[2] == img.Variant)
}

// runImageProgram runs proa-image, which links the image transports, with its progress on standard error.
func (a *app) runImageProgram(ctx context.Context, args []string) (string, error) {
	path, err := config.Program("proa-image")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, a.err, rootless.ChildEnv(os.Environ())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", &exitError{code: exitEngine} // it said why
	}
	return out.String(), err
}

// cidFile is a file made before the container, so that nothing is made when it can't be.
type cidFile struct{ f *os.File }

func reserveCIDFile(path string) (cidFile, error) {
	if path == "" {
		return cidFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return cidFile{}, fmt.Errorf("the --cidfile %q exists: another container may use it; remove it or choose another", path)
	}
	if err != nil {
		return cidFile{}, fmt.Errorf("making the --cidfile: %w", err)
	}
	return cidFile{f}, nil
}

// dropEmpty removes the file of a container that was not made.
func (c cidFile) dropEmpty() {
	if c.f == nil {
		return
	}
	if st, err := os.Stat(c.f.Name()); err == nil && st.Size() == 0 {
		c.f.Close()
		os.Remove(c.f.Name())
	}
}

func (c cidFile) write(id string) error {
	if c.f == nil {
		return nil
	}
	_, err := c.f.WriteString(id)
	return errors.Join(err, c.f.Close())
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
