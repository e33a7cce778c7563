package main

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/spec"
)

// FuzzCommandLine rewrites any command line: the program's name stays, and what follows "--" is nobody's to change.
func FuzzCommandLine(f *testing.F) {
	f.Add("run -it --rm -e A=1 -v/a:/b alpine sh -c x")
	f.Add("rm web -f -- -x")
	f.Add("--runtime crun container run --name=x -- alpine -it")
	f.Add("ps -aq --format {{.ID}} -n 3")
	f.Fuzz(func(t *testing.T, line string) {
		words := append([]string{"proa"}, strings.Split(line, " ")...)
		in := strings.Join(words, " ")
		out := argv.Canonical(newApp(&app{out: io.Discard, err: io.Discard}), words)
		if len(out) == 0 || out[0] != "proa" {
			t.Fatalf("%q became %q", in, out)
		}
		if strings.Join(words, " ") != in {
			t.Errorf("the caller's words became %q", words)
		}
		if _, after, ok := strings.Cut(in, " -- "); ok && strings.HasPrefix(line, "run ") && !strings.HasSuffix(strings.Join(out, " "), after) {
			t.Errorf("%q became %q", in, out)
		}
	})
}

// FuzzMounts reads what -v, --mount, --tmpfs and --device are given: an error, or absolute paths.
func FuzzMounts(f *testing.F) {
	f.Add("/etc:/x:ro,rslave")
	f.Add("data:/x:nocopy,U")
	f.Add("type=volume,src=data,dst=/x,volume-subpath=a/b,\"volume-opt=o=size=1m,mode=700\",volume-label=a=b")
	f.Add("type=bind,src=/etc,dst=/x,ro,bind-propagation=rshared")
	f.Add("type=tmpfs,dst=/x,tmpfs-size=64m,tmpfs-mode=1777")
	f.Add("/x:size=64m,mode=1777,noexec")
	f.Add("/dev/null:/dev/x:rw")
	f.Fuzz(func(t *testing.T, s string) {
		for name, parse := range map[string]func(string) (spec.Mount, error){"volume": parseVolume, "mount": parseMount, "tmpfs": parseTmpfs} {
			m, err := parse(s)
			if err != nil || (&spec.Mounts{List: []spec.Mount{m}}).Validate() != nil {
				continue
			}
			ok := filepath.IsAbs(m.Target)
			switch v := m.Volume; m.Type {
			case "bind":
				ok = ok && filepath.IsAbs(m.Source)
			case "volume":
				ok = ok && m.Source == "" && (v.Name == "" || volume.ValidName(v.Name)) && (v.Subpath == "" || filepath.IsLocal(v.Subpath))
			case "tmpfs":
			default:
				ok = false
			}
			if !ok {
				t.Errorf("%s %q is %+v", name, s, m)
			}
		}
		if strings.HasPrefix(s, "/dev/") && !strings.HasPrefix(path.Clean(s), "/dev/.") {
			devices, err := parseDevice(s)
			for _, d := range devices {
				if err == nil && (!filepath.IsAbs(d.Source) || strings.Trim(d.Access, "rwm") != "") {
					t.Errorf("device %q is %+v", s, d)
				}
			}
		}
	})
}

// FuzzEnvFile reads an environment from a file: an error, or variables that execve(2) takes.
func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\n# no\n\nB=x y\r\nPATH")
	f.Add("=x\n")
	f.Add("A=1\x00B=2\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		env, err := parseEnv([]string{file}, nil)
		if err != nil {
			return
		}
		for _, e := range env {
			if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.ContainsAny(e, "\x00\n") {
				t.Errorf("%q has the variable %q", text, e)
			}
		}
	})
}

func FuzzSecurityOptions(f *testing.F) {
	f.Add("seccomp=unconfined")
	f.Add("mask=/a:/b")
	f.Add("unmask=ALL")
	f.Add("no-new-privileges:false")
	f.Fuzz(func(t *testing.T, s string) {
		var sec spec.Security
		_ = parseSecurityOpt(s, &sec)
		_, _ = parseEntrypoint(s)
		_ = checkUser(s)
	})
}

// FuzzFormat: a template of the user's is an error or prints, and neither ends the program.
func FuzzFormat(f *testing.F) {
	f.Add(`{{.Names}}\t{{json .}}`)
	f.Add(`{{truncate .ID -5}}{{title ""}}{{split .Names ","}}`)
	f.Add(`{{join .Names ","}}{{index .ID 99}}`)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "range") || strings.Contains(s, "printf") || strings.Contains(s, "define") || strings.Contains(s, "block") {
			return // they can ask for any amount of output
		}
		tmpl, err := parseTemplate(s)
		if err != nil || tmpl == nil {
			return
		}
		_ = tmpl.print(io.Discard, psRow{Names: "web,db", ID: "0123456789ab"})
	})
}
