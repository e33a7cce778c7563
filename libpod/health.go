package libpod

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/spec"
)

// Docker's defaults of health checks.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

// inheritHealth takes from the image what of its health check the user did not give.
func inheritHealth(h **spec.Health, img *image.Healthcheck) {
	if img == nil || len(img.Test) == 0 && *h == nil {
		return
	}
	if *h == nil {
		*h = &spec.Health{}
	}
	if len((*h).Test) > 0 && (*h).Test[0] == spec.HealthNone {
		return
	}
	if len((*h).Test) == 0 {
		(*h).Test = img.Test
	}
	own := *h
	own.Interval, own.Timeout = cmp.Or(own.Interval, img.Interval), cmp.Or(own.Timeout, img.Timeout)
	own.StartPeriod, own.StartInterval = cmp.Or(own.StartPeriod, img.StartPeriod), cmp.Or(own.StartInterval, img.StartInterval)
	own.Retries = cmp.Or(own.Retries, img.Retries)
}

// healthConfig is what the monitor of c needs to check its health; nil without a check. s is the container's config.json.
func (e *Engine) healthConfig(c *Container, s *specs.Spec) (*monitor.Health, error) {
	h := c.Config.Health
	if !h.Checks() {
		return nil, nil
	}
	m := &monitor.Health{
		Interval: cmp.Or(h.Interval, healthInterval), Timeout: cmp.Or(h.Timeout, healthTimeout), StartPeriod: h.StartPeriod,
		StartInterval: cmp.Or(h.StartInterval, healthStartInterval), Retries: cmp.Or(h.Retries, healthRetries), OnFailure: h.OnFailure,
	}
	sig, err := Signal(cmp.Or(c.StopSignal, "SIGTERM"))
	if err != nil {
		return nil, err
	}
	m.StopSignal, m.StopTimeout = int(sig), defaultStopTimeout
	if c.StopTimeout != nil {
		m.StopTimeout = *c.StopTimeout
	}
	switch h.Test[0] {
	case spec.HealthHTTP:
		m.HTTP, err = HTTPEndpoint(h.Test[1])
	case spec.HealthTCP:
		m.TCP, err = TCPEndpoint(h.Test[1])
	default:
		err = e.healthCommand(c, s, m)
	}
	if err != nil {
		return nil, fmt.Errorf("preparing the health check: %w", err)
	}
	return m, nil
}

// healthCommand prepares the command of a health check, which runs as a command of exec would.
func (e *Engine) healthCommand(c *Container, s *specs.Spec, m *monitor.Health) error {
	args := c.Config.Health.Test[1:]
	switch c.Config.Health.Test[0] {
	case spec.HealthShell:
		args = []string{"/bin/sh", "-c", strings.Join(args, " ")}
	case spec.HealthCommand:
	default:
		return fmt.Errorf("the image's test %q is neither CMD, CMD-SHELL nor NONE; give --health-cmd or --no-healthcheck", c.Config.Health.Test[0])
	}
	if len(args) == 0 {
		return errors.New("the image's test has no command; give --health-cmd or --no-healthcheck")
	}
	u := s.Process.User
	process := spec.Exec(s.Process, c.Config.Security, spec.User{UID: u.UID, GID: u.GID, Groups: u.AdditionalGids}, nil, false)
	process.Args = args
	var err error
	if c.Runtime != "" {
		boundCapabilities(process.Capabilities)
		m.Process, err = json.Marshal(process)
		return err
	}
	p, err := runtime.NewProcess(&specs.Spec{}, process, e.planOptions(c))
	if err != nil {
		return err
	}
	if p.Process.Seccomp, err = e.filter(c.Config.Security); err != nil {
		return err
	}
	p.CgroupDirs = e.v1Dirs(c.ID)
	var b bytes.Buffer
	err = p.Encode(&b)
	m.Plan = b.Bytes()
	return err
}

// freezeFile tells by its content whether the container is paused; "" when it can't be.
func (e *Engine) freezeFile(id string, cgroupDir string) string {
	if cgroupDir != "" {
		return filepath.Join(cgroupDir, "cgroup.events")
	}
	for _, dir := range e.cgroupsOf(id) {
		if strings.Contains(dir, "/freezer/") {
			return filepath.Join(dir, "freezer.state")
		}
	}
	return ""
}

// Health is how the container's health is, nil without a check or before its first run.
func (e *Engine) Health(c *Container, st Status) *monitor.HealthState {
	if !c.Config.Health.Checks() {
		return nil
	}
	h := &monitor.HealthState{}
	if readJSON(filepath.Join(e.runDir(c.ID), monitor.HealthFile), h) == nil {
		return h
	}
	if st.State == Running { // the monitor tells of the start first
		return &monitor.HealthState{Status: monitor.Starting}
	}
	return st.Run.Health
}

// ErrNoHealth says that the container has no health check.
var ErrNoHealth = errors.New("it has no health check; give it one with --health-cmd, --health-http or --health-tcp")

// CheckHealth has the container's health checked now.
func (e *Engine) CheckHealth(ctx context.Context, c *Container) (r monitor.HealthResult, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		r, err = e.checkOnce(ctx, c)
		var wrong *WrongStateError
		// A monitor whose container has just been started, or has just got another check, is about to make checks.
		if !errors.As(err, &wrong) || wrong.State != Running || time.Now().After(end) || ctx.Err() != nil {
			return r, err
		}
	}
}

func (e *Engine) checkOnce(ctx context.Context, c *Container) (monitor.HealthResult, error) {
	var r monitor.HealthResult
	if !c.Config.Health.Checks() {
		return r, fmt.Errorf("checking the health of container %q: %w", c.Name, ErrNoHealth)
	}
	if st := e.Status(c); st.State != Running {
		return r, &WrongStateError{c.Name, st.State, "is not running"}
	}
	conn, err := monitor.Dial(e.runDir(c.ID))
	if err != nil {
		return r, fmt.Errorf("checking the health of container %q: its monitor is gone: %w", c.Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.Send(monitor.Probe, nil); err != nil {
		return r, fmt.Errorf("asking the monitor of container %q for a health check: %w", c.Name, err)
	}
	buf := make([]byte, monitor.MaxPayload+1)
	for {
		kind, payload, err := conn.Receive(buf)
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case err != nil || kind == monitor.Exited:
			return r, &WrongStateError{c.Name, e.Status(c).State, "ended before its health was known"}
		case kind == monitor.Probe:
			return r, json.Unmarshal(payload, &r)
		}
	}
}

// TCPEndpoint reads PORT or ADDRESS:PORT.
func TCPEndpoint(s string) (*monitor.Endpoint, error) {
	host, port := "localhost", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	return endpoint(host, port)
}

func endpoint(host, port string) (*monitor.Endpoint, error) {
	p, err := netip.ParseAddrPort("0.0.0.0:" + port)
	if err != nil || p.Port() == 0 {
		return nil, fmt.Errorf("%q is no port from 1 to 65535", port)
	}
	out := &monitor.Endpoint{}
	addrs := []string{strings.Trim(host, "[]")}
	if strings.EqualFold(host, "localhost") {
		addrs = []string{"127.0.0.1", "::1"}
	}
	for _, a := range addrs {
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return nil, fmt.Errorf("%q is neither localhost nor an address: names are not looked up, since that would have to be done in the container", host)
		}
		out.Addrs = append(out.Addrs, netip.AddrPortFrom(ip, p.Port()))
	}
	return out, nil
}

// HTTPEndpoint reads a URL, or PORT[/PATH] of the container itself.
func HTTPEndpoint(s string) (*monitor.Endpoint, error) {
	rest, ok := strings.CutPrefix(s, "http://")
	if !ok {
		if strings.Contains(s, "://") {
			return nil, errors.New("only http:// can be asked without a program in the container; for others use --health-cmd")
		}
		rest = "localhost:" + s
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f {
			return nil, errors.New("a URL has neither spaces nor control characters nor letters beyond ASCII: write them as %20")
		}
	}
	host, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut("/"+path, "#")
	if strings.Contains(host, "@") || strings.ContainsAny(host, "?#") {
		return nil, fmt.Errorf("%q is no HOST[:PORT]", host)
	}
	name, port := host, "80"
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	e, err := endpoint(name, port)
	if err != nil {
		return nil, err
	}
	e.Host, e.Path = host, path
	return e, nil
}
