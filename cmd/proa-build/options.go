package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/build/layers"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/image/transfer"
	"github.com/proa-containers/proa/oci/spec"
)

// buildOptions are the command line's.
type buildOptions struct {
	context, file string
	opts          map[string]string // the frontend's
	contexts      []namedContext
	tags          []string
	format        image.Format
	output        outputOption
	pull          transfer.PullOptions
	step          spec.Config
	secrets       map[string]layers.Secret
	agents        map[string]string
	epoch         *time.Time
	jobs          int
	insecure      bool
	progress      string
	call          string
	squash        string // new or all
	iidfile, meta string
}

type namedContext struct{ name, value string }

func parseBuild(c *cli.Context) (*buildOptions, error) {
	o := &buildOptions{opts: map[string]string{}, jobs: c.Int("jobs"), iidfile: c.String("iidfile"), meta: c.String("metadata-file"), file: c.String("file")}
	switch c.NArg() {
	case 0:
		return nil, errors.New("build takes a context: a directory such as ., a URL, or - for standard input")
	case 1:
		o.context = c.Args().First()
	default:
		return nil, fmt.Errorf("build takes one context; it was given %q", c.Args().Slice())
	}
	if o.context == "-" && o.file == "-" {
		return nil, errors.New("standard input can't be the context and the Dockerfile at once")
	}
	for _, f := range []func(*cli.Context) error{o.parseArgs, o.parseSources, o.parseStep, o.parseOutput, o.parseDisplay} {
		if err := f(c); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// parseArgs reads what the frontend gets.
func (o *buildOptions) parseArgs(c *cli.Context) error {
	for _, file := range c.StringSlice("build-arg-file") {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--build-arg-file: %w", err)
		}
		for n, line := range strings.Split(string(data), "\n") {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			k, v, ok := strings.Cut(line, "=")
			if !ok || k == "" {
				return fmt.Errorf("--build-arg-file %s:%d: want NAME=VALUE, not %q", file, n+1, line)
			}
			o.opts["build-arg:"+k] = v
		}
	}
	for _, a := range c.StringSlice("build-arg") {
		k, v, ok := strings.Cut(a, "=")
		if k == "" {
			return fmt.Errorf("--build-arg %q: want NAME=VALUE", a)
		}
		if !ok {
			if v, ok = os.LookupEnv(k); !ok {
				continue // as Docker does
			}
		}
		o.opts["build-arg:"+k] = v
	}
	for _, l := range c.StringSlice("label") {
		k, v, _ := strings.Cut(l, "=")
		if k == "" {
			return fmt.Errorf("--label %q: want NAME=VALUE", l)
		}
		o.opts["label:"+k] = v
	}
	if t := c.String("target"); t != "" {
		o.opts["target"] = t
	}
	if p := c.String("platform"); p != "" {
		if strings.Contains(p, ",") {
			return fmt.Errorf("--platform %s: an image of several platforms can't be built yet; give one", p)
		}
		if _, err := transfer.ParsePlatform(p); err != nil {
			return err
		}
		o.opts["platform"] = p
	}
	switch stages := c.StringSlice("no-cache-filter"); {
	case c.Bool("no-cache"):
		o.opts["no-cache"] = ""
	case len(stages) > 0:
		o.opts["no-cache"] = strings.Join(stages, ",")
	}
	return o.parseEpoch(c)
}

func (o *buildOptions) parseEpoch(c *cli.Context) error {
	value, from := c.String("source-date-epoch"), "--source-date-epoch"
	if v := c.String("timestamp"); v != "" {
		if c.IsSet("source-date-epoch") && c.String("source-date-epoch") != v && os.Getenv("SOURCE_DATE_EPOCH") == "" {
			return errors.New("give either --timestamp or --source-date-epoch")
		}
		value, from = v, "--timestamp"
	}
	if v, ok := o.opts["build-arg:SOURCE_DATE_EPOCH"]; ok {
		value, from = v, "--build-arg SOURCE_DATE_EPOCH"
	}
	if value == "" {
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%s %q: want seconds since 1970", from, value)
	}
	t := time.Unix(n, 0).UTC()
	o.epoch = &t
	o.opts["build-arg:SOURCE_DATE_EPOCH"] = value
	return nil
}

// parseSources reads where images, contexts and secrets come from.
func (o *buildOptions) parseSources(c *cli.Context) error {
	o.pull.Access = transfer.Access{Creds: c.String("creds"), AuthFile: c.String("authfile"), CertDir: c.String("cert-dir")}
	if c.IsSet("tls-verify") {
		verify := c.Bool("tls-verify")
		o.pull.TLSVerify = &verify
	}
	o.pull.Policy = transfer.Missing
	if p, ok := c.Generic("pull").(*pullFlag); ok && p.policy != "" {
		o.pull.Policy = transfer.Policy(p.policy)
	}
	for _, v := range c.StringSlice("build-context") {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" || value == "" {
			return fmt.Errorf("--build-context %q: want NAME=VALUE", v)
		}
		o.contexts = append(o.contexts, namedContext{name, value})
	}
	o.secrets = map[string]layers.Secret{}
	for _, v := range c.StringSlice("secret") {
		if err := o.parseSecret(v); err != nil {
			return fmt.Errorf("--secret %q: %w", v, err)
		}
	}
	o.agents = map[string]string{}
	for _, v := range c.StringSlice("ssh") {
		id, socket, ok := strings.Cut(v, "=")
		if !ok {
			socket = os.Getenv("SSH_AUTH_SOCK")
		}
		if socket == "" {
			return fmt.Errorf("--ssh %s: SSH_AUTH_SOCK names no agent; start one, or give its socket as --ssh %s=SOCKET", v, id)
		}
		if st, err := os.Stat(socket); err != nil {
			return fmt.Errorf("--ssh %s: %w", v, err)
		} else if st.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("--ssh %s: %s is no socket of an agent; keys are not read from files, add them to an agent with ssh-add", v, socket)
		}
		o.agents[id] = socket
	}
	return nil
}

func (o *buildOptions) parseSecret(v string) error {
	f, err := fields(v)
	if err != nil {
		return err
	}
	s := layers.Secret{}
	for k, value := range f {
		switch k {
		case "id":
		case "src", "source":
			s.File = value
		case "env":
			s.Env = value
		case "type":
			if value != "file" && value != "env" {
				return fmt.Errorf("unknown type %q: file or env", value)
			}
		default:
			return fmt.Errorf("unknown part %q: id, type, src and env are known", k)
		}
	}
	id := f["id"]
	switch {
	case id == "":
		return errors.New("id is missing")
	case s.File != "" && s.Env != "":
		return errors.New("give either src or env")
	case f["type"] == "env" && s.Env == "":
		if s.Env, s.File = s.File, ""; s.Env == "" {
			s.Env = id
		}
	case s.File == "" && s.Env == "":
		// Docker's rule: the environment's variable of that name, else the file.
		if _, ok := os.LookupEnv(id); ok && f["type"] != "file" {
			s.Env = id
		} else {
			s.File = id
		}
	}
	if s.File != "" {
		if _, err := os.Stat(s.File); err != nil {
			return err
		}
	}
	o.secrets[id] = s
	return nil
}

// parseStep reads what is said of all steps.
func (o *buildOptions) parseStep(c *cli.Context) error {
	switch n := c.String("network"); n {
	case "default", "":
	case "none", "host":
		o.opts["force-network-mode"] = n
	default:
		return fmt.Errorf("--network %q: the steps' network is default, none or host", n)
	}
	var hosts []string
	for _, h := range c.StringSlice("add-host") {
		host, ip, ok := strings.Cut(h, "=")
		if !ok {
			host, ip, ok = strings.Cut(h, ":")
		}
		if !ok || host == "" || ip == "" {
			return fmt.Errorf("--add-host %q: want HOST:IP", h)
		}
		if ip == "host-gateway" {
			return fmt.Errorf("--add-host %q: host-gateway is not supported yet; give the address", h)
		}
		hosts = append(hosts, host+"="+strings.Trim(ip, "[]"))
	}
	o.opts["add-hosts"] = strings.Join(hosts, ",")
	var limits []string
	for _, u := range c.StringSlice("ulimit") {
		if _, err := units.ParseUlimit(u); err != nil {
			return fmt.Errorf("--ulimit %q: %w", u, err)
		}
		limits = append(limits, u)
	}
	o.opts["ulimit"] = strings.Join(limits, ",")
	if s := c.String("shm-size"); s != "" {
		n, err := units.RAMInBytes(s)
		if err != nil || n <= 0 {
			return fmt.Errorf("--shm-size %q: want a size, as 64m", s)
		}
		o.opts["shm-size"] = strconv.FormatInt(n, 10)
	}
	for _, a := range c.StringSlice("allow") {
		switch a {
		case "security.insecure":
			o.insecure = true
		case "network.host":
		default:
			return fmt.Errorf("--allow %q: security.insecure and network.host are known", a)
		}
	}
	return nil
}

func (o *buildOptions) parseDisplay(c *cli.Context) error {
	o.progress = c.String("progress")
	if !slices.Contains([]string{"auto", "tty", "plain", "rawjson", "quiet"}, o.progress) {
		return fmt.Errorf("--progress %q: auto, tty, plain, rawjson or quiet", o.progress)
	}
	if c.Bool("quiet") {
		if c.IsSet("progress") && o.progress != "quiet" {
			return errors.New("--quiet and --progress contradict each other")
		}
		o.progress = "quiet"
	}
	o.call = c.String("call")
	if c.Bool("check") {
		o.call = "check"
	}
	switch o.call {
	case "", "build":
		o.call = ""
	case "check", "lint":
		o.call = "lint"
	case "outline", "targets":
	default:
		return fmt.Errorf("--call %q: build, check, outline and targets are known", o.call)
	}
	if o.call != "" {
		o.opts["requestid"] = "frontend." + o.call
		if o.call == "targets" {
			o.opts["requestid"] = "frontend.targets"
		}
		o.progress = "quiet"
	}
	return nil
}
