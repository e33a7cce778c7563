package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// pullFlag is --pull and --pull=POLICY.
type pullFlag struct{ policy string }

func (p *pullFlag) String() string { return p.policy }

// IsBoolFlag makes the value optional.
func (p *pullFlag) IsBoolFlag() bool { return true }

func (p *pullFlag) Set(s string) error {
	if b, err := strconv.ParseBool(s); err == nil {
		if s = "missing"; b {
			s = "always"
		}
	}
	switch s {
	case "always", "missing", "newer", "never":
		p.policy = s
		return nil
	}
	return fmt.Errorf("want always, missing, newer or never, not %q", s)
}

func buildFlags() []cli.Flag {
	return append(append([]cli.Flag{
		&cli.StringSliceFlag{Name: "add-host", Usage: "a line for the steps' /etc/hosts: `HOST:IP`"},
		&cli.StringSliceFlag{Name: "allow", Usage: "let steps have a `PRIVILEGE`: security.insecure or network.host"},
		&cli.StringSliceFlag{Name: "build-arg", Usage: "give an ARG a value: `NAME=VALUE`, or NAME for that of the environment"},
		&cli.StringSliceFlag{Name: "build-arg-file", Usage: "`FILE` with a NAME=VALUE for an ARG on each line"},
		&cli.StringSliceFlag{Name: "build-context", Usage: "a further context, `NAME=VALUE`: a directory, docker-image://IMAGE, oci-layout://DIRECTORY[:TAG][@DIGEST] or a URL"},
		&cli.StringFlag{Name: "call", Usage: "`QUESTION` to answer in place of a build: check, outline or targets"},
		&cli.BoolFlag{Name: "check", Usage: "check the Dockerfile in place of a build"},
		&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "Dockerfile: a `PATH`, - for standard input, or a URL; by default Dockerfile or Containerfile in the context"},
		&cli.StringFlag{Name: "iidfile", Usage: "`FILE` to write the image's id to"},
		&cli.IntFlag{Name: "jobs", Usage: "at most so `MANY` steps at once; 0: any number"},
		&cli.StringSliceFlag{Name: "label", Usage: "a label of the image: `NAME=VALUE`"},
		&cli.StringFlag{Name: "metadata-file", Usage: "`FILE` to write what was built to, as JSON"},
		&cli.StringFlag{Name: "network", Value: "default", Usage: "`NETWORK` of the steps: default, none or host"},
		&cli.BoolFlag{Name: "no-cache", Usage: "carry out every step"},
		&cli.StringSliceFlag{Name: "no-cache-filter", Usage: "carry out every step of a `STAGE`"},
		&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH[/VARIANT]` of the image"},
		&cli.StringFlag{Name: "progress", Value: "auto", Usage: "`HOW` to show progress: auto, tty, plain, rawjson or quiet", EnvVars: []string{"BUILDKIT_PROGRESS"}},
		&cli.GenericFlag{Name: "pull", Value: &pullFlag{}, Usage: "pull base images: --pull always, or --pull=always, missing, newer or never"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the image's id alone"},
		&cli.StringSliceFlag{Name: "secret", Usage: "a secret for steps that mount it: `id=ID[,src=FILE|,env=VARIABLE]`"},
		&cli.StringFlag{Name: "shm-size", Usage: "`SIZE` of the steps' /dev/shm, as 64m"},
		&cli.StringSliceFlag{Name: "ssh", Usage: "an ssh agent for steps that mount it: default or `ID[=SOCKET]`"},
		&cli.StringFlag{Name: "target", Usage: "`STAGE` to build"},
		&cli.StringSliceFlag{Name: "ulimit", Usage: "limit of the steps: `NAME=SOFT[:HARD]`"},
	}, outputFlags()...), sourceFlags()...)
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Value: "oci", Usage: "`FORMAT` of the image: oci or docker"},
		&cli.BoolFlag{Name: "layers", Value: true, Usage: "keep every step's layer for the next builds, which is done in any case"},
		&cli.BoolFlag{Name: "load", Usage: "put the image into the store, which is done anyway"},
		&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "what to make: `type=image|local|tar|oci|docker[,dest=PATH]`, or a directory"},
		&cli.StringFlag{Name: "provenance", Usage: "only `false`: no attestation is made"},
		&cli.BoolFlag{Name: "rm", Value: true, Usage: "leave no container of a step, which is done in any case"},
		&cli.StringFlag{Name: "sbom", Usage: "only `false`: no attestation is made"},
		&cli.StringFlag{Name: "source-date-epoch", Usage: "`SECONDS` since 1970 that no file and time of the image is younger than", EnvVars: []string{"SOURCE_DATE_EPOCH"}},
		&cli.BoolFlag{Name: "squash", Usage: "make one layer of those that the build adds"},
		&cli.BoolFlag{Name: "squash-all", Usage: "make one layer of all"},
		&cli.StringSliceFlag{Name: "tag", Aliases: []string{"t"}, Usage: "`NAME[:TAG]` of the image"},
		&cli.StringFlag{Name: "timestamp", Usage: "as --source-date-epoch"},
	}
}

func sourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "authfile", Usage: "`FILE` with credentials", EnvVars: []string{"REGISTRY_AUTH_FILE"}},
		&cli.StringFlag{Name: "cert-dir", Usage: "`DIRECTORY` with the registry's certificates, in place of certs.d"},
		&cli.StringFlag{Name: "creds", Usage: "`USER:PASSWORD` for the registry"},
		&cli.BoolFlag{Name: "tls-verify", Value: true, Usage: "verify the registry's certificate; false allows HTTP too"},
	}
}

// fields takes a value like "id=a,src=b" apart; names are lower case.
func fields(s string) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range strings.Split(s, ",") {
		k, v, ok := strings.Cut(f, "=")
		if k = strings.ToLower(strings.TrimSpace(k)); !ok || k == "" {
			return nil, fmt.Errorf("want NAME=VALUE, by commas, not %q", f)
		}
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("%s is given twice", k)
		}
		out[k] = v
	}
	return out, nil
}
