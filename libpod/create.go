package libpod

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/state"
)

// validName tells whether name is one for containers by Docker's rule. Without a regular expression: compiling one costs
// every command its time.
func validName(name string) bool {
	for i, r := range name {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("_.-", r)) {
			return false
		}
	}
	return name != ""
}

// Create records c and makes its layer on top of img, which is nil with a Rootfs. c comes with what the user asked
// for; Create fills in id, name and what the image says. On an error nothing is left.
func (e *Engine) Create(ctx context.Context, c *Container, img *image.Image) error {
	unlock, err := e.create(ctx, c, img)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.fillCreated(ctx, c); err != nil {
		return e.undo(c, err)
	}
	return nil
}

// undo removes what there is of a container that could not be made.
func (e *Engine) undo(c *Container, err error) error {
	c.DropVolumes = true
	return errors.Join(err, e.destroy(c))
}

// create is Create that keeps the container's lock.
func (e *Engine) create(ctx context.Context, c *Container, img *image.Image) (unlock func(), err error) {
	if err := e.complete(c, img); err != nil {
		return nil, err
	}
	if c.unlock == nil {
		if c.unlock, err = e.lock(c.ID); err != nil {
			return nil, err
		}
	}
	c.DropVolumes = true // until it is made
	if err = e.noteUnfinished(c); err == nil {
		err = e.reserve(ctx, c)
	}
	if err != nil {
		if _, cgroups := e.noted(c.ID); len(cgroups) == 0 { // else the lock goes after them, with the Warm
			e.dropLock(c)
		}
		return nil, err
	}
	unlock, c.unlock = c.unlock, nil
	if err = e.makeVolumes(ctx, c); err == nil {
		err = e.makeLayer(c)
	}
	if err == nil {
		err = e.note(c.ID, finished)
	}
	if err != nil {
		err = errors.Join(err, e.erase(c))
		unlock()
		return nil, err
	}
	c.DropVolumes = false
	e.say(c, "create")
	return unlock, nil
}

// reserve writes the record, by which the name is taken. A name of a container that is to go and has ended is freed
// first: its command was killed before it could.
func (e *Engine) reserve(ctx context.Context, c *Container) error {
	release, err := e.holdNetworks(ctx, c)
	if err != nil {
		return err
	}
	defer release()
	r, err := c.record()
	if err != nil {
		return err
	}
	err = e.state.Add(r)
	var used *state.NameInUseError
	if !errors.As(err, &used) {
		return err
	}
	old, lookup := e.Lookup(used.ID)
	if lookup == nil && old.AutoRemove {
		if _, err := e.settle(old); err != nil {
			return err
		}
		if err := e.state.Add(r); err == nil || !c.Replace {
			return err
		}
	}
	if errors.Is(lookup, state.ErrNotFound) { // it was half there
		return e.state.Add(r)
	}
	if lookup == nil && c.Replace {
		if err := e.Remove(ctx, old, true); err != nil {
			return fmt.Errorf("replacing container %q: %w", c.Name, err)
		}
		return e.state.Add(r)
	}
	return err
}

func (e *Engine) makeLayer(c *Container) error {
	if c.Rootfs != "" && !c.RootfsCopy {
		return nil
	}
	s, err := e.store()
	if err != nil {
		return err
	}
	// The id goes in as the store's name for the container too: other tools then show whose it is.
	o, err := s.CreateContainer(c.ID, []string{storeName(c.ID)}, c.ImageID, c.AutoRemove)
	if err == nil {
		c.layer = &o
	}
	return err
}

// storeName is what the store calls a container of proa's.
func storeName(id string) string { return id[:min(12, len(id))] + "-proa" }

// complete fills in what the image and the defaults say.
func (e *Engine) complete(c *Container, img *image.Image) error {
	if c.ID == "" {
		c.ID = newID()
	}
	c.Created = time.Now()
	if c.Name == "" {
		c.Name = randomName()
	} else if !validName(c.Name) {
		return fmt.Errorf("invalid container name %q: letters, digits, _ . and -, the first a letter or digit", c.Name)
	}
	if img != nil {
		c.ImageID = img.ID
		fromImage(c, img)
	}
	if err := e.completeVolumes(c, img); err != nil {
		return err
	}
	c.CompletePorts(img)
	p := &c.Config.Process
	p.Args = slices.Concat(p.Entrypoint, p.Cmd)
	if h := c.Config.Health; h != nil && len(h.Test) == 0 {
		return fmt.Errorf("no health check: neither an option nor image %q names one; give --health-cmd, --health-http or --health-tcp", c.Image)
	}
	if len(p.Args) == 0 {
		return fmt.Errorf("no command: neither the command line nor image %q names one; give one after the image", c.Image)
	}
	if p.Cwd != "" && !filepath.IsAbs(p.Cwd) {
		return fmt.Errorf("invalid working directory %q: it must be an absolute path", p.Cwd)
	}
	if c.Log.Driver == "" {
		c.Log.Driver = "k8s-file"
	}
	if c.Log.Path == "" && (c.Log.Driver == "k8s-file" || c.Log.Driver == "json-file") {
		c.Log.Path, c.Log.Lazy = filepath.Join(e.dataDir(c.ID), "ctr.log"), true
	}
	return CheckLog(c)
}

func newID() string {
	id := make([]byte, 32)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// fromImage takes from the image what the user did not give, by Docker's rules: a new entrypoint drops the image's
// command too.
func fromImage(c *Container, img *image.Image) {
	p, cfg := &c.Config.Process, img.Config
	if p.Entrypoint == nil {
		p.Entrypoint = cfg.Entrypoint
		if len(p.Cmd) == 0 {
			p.Cmd = cfg.Cmd
		}
	} else {
		p.Entrypoint = slices.DeleteFunc(slices.Clone(p.Entrypoint), func(s string) bool { return s == "" })
	}
	env := slices.DeleteFunc(slices.Clone(cfg.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return p.UnsetAll || slices.Contains(p.Unset, name)
	})
	p.Env = slices.Concat(env, p.Env)
	if p.Cwd == "" {
		p.Cwd = cfg.WorkingDir
	}
	if p.User == "" {
		p.User = cfg.User
	}
	if c.StopSignal == "" {
		c.StopSignal = cfg.StopSignal
	}
	if c.StopTimeout == nil {
		c.StopTimeout = cfg.StopTimeout
	}
	labels := maps.Clone(cfg.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	inheritHealth(&c.Config.Health, cfg.Healthcheck)
}

// The words of random names: how a boat is, and who sailed.
const (
	nameHow = "able agile bold brave bright brisk calm clever cosy eager easy fair fast fine fleet free fresh gentle glad golden good happy hardy jolly keen kind light lively lucky merry mild neat nimble noble patient proud quick quiet ready silver smooth snug spry steady still stout sunny swift tidy true trim warm wary wise witty"
	nameWho = "abel amundsen baffin barents bass bering blake bligh boussole cabot cano cartier caswell colomb cook coxere dampier davis diaz drake eriksson euler flinders franklin frobisher gama gilbert hanno halley harrison heyerdahl hudson ibnmajid jansz kupe laperouse lewis magellan maury mau nansen nicholas polynesia piailug pytheas quiros ross scoresby shackleton slocum tasman tupaia vancouver vespucci weddell wegener zacuto zhenghe"
)

func randomName() string {
	var b [6]byte
	rand.Read(b[:])
	pick := func(words string, at byte) string {
		list := strings.Fields(words)
		return list[int(at)%len(list)]
	}
	return fmt.Sprintf("%s_%s%d", pick(nameHow, b[0]), pick(nameWho, b[1]), (int(b[2])<<8|int(b[3]))%1000)
}
