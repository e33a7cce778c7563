package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/internal/manual"
)

// tree is a small command line with everything that the generators tell apart.
var tree = manual.Command{
	Name: "proa", Usage: "sail", Options: []manual.Option{{Names: []string{"version", "v"}, Usage: "print"}, {Names: []string{"runtime"}, Value: "NAME", Usage: "run"}},
	Commands: []manual.Command{
		{Name: "run", Usage: "run <it> | pipe's", Args: "IMAGE [COMMAND...]", Options: []manual.Option{
			{Names: []string{"volume", "v"}, Value: "SOURCE:TARGET", Usage: "bind", Repeated: true},
			{Names: []string{"name"}, Value: "NAME", Usage: "name", Default: `"x"`, Env: "N"}, {Names: []string{"detach", "d"}, Usage: `.a \n thing`},
		}},
		{Name: "rm", Aliases: []string{"remove"}, Usage: "remove", Args: "CONTAINER [CONTAINER...]"},
		{Name: "stop", Usage: "stop", Args: "CONTAINER [CONTAINER...]"},
		{Name: "image", Usage: "images", Commands: []manual.Command{
			{Name: "ls", Aliases: []string{"list"}, Usage: "list images"},
			{Name: "rm", Aliases: []string{"remove"}, Usage: "remove", Args: "CONTAINER [CONTAINER...]"},
		}},
	},
}

// onPath is a PATH with a proa that lists one container of each kind, and an image.
func onPath(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
case "$1 $2" in
"ps --all") printf 'web\nold\n' ;;
"ps --format") echo web ;;
"images --format") printf 'docker.io/library/alpine:3\n<none>:<none>\nbusybox:latest\n' ;;
*) echo "unexpected $*" >&2; exit 1 ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "proa"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + ":" + os.Getenv("PATH")
}

// completed is what each shell offers for a line.
var completed = map[string]string{
	"proa ":                     "run rm remove stop image",
	"proa i":                    "image",
	"proa --v":                  "--version",
	"proa run --n":              "--name",
	"proa run --name x -d ":     "docker.io/library/alpine:3 busybox:latest",
	"proa run busy":             "busybox:latest",
	"proa --runtime crun rm ":   "web old",
	"proa remove web ":          "web old",
	"proa stop ":                "web",
	"proa image ":               "ls list rm remove",
	"proa image ls ":            "",
	"proa run --name ":          "",
	"proa nonsense ":            "run rm remove stop image",
	"proa run busybox:latest -": "",
}

func TestBash(t *testing.T) {
	script := filepath.Join(t.TempDir(), "proa.bash")
	if err := os.WriteFile(script, []byte(bash(tree)), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range completed {
		if line == "proa nonsense " {
			continue // bash: an unknown word is an operand of proa
		}
		cmd := exec.Command("bash", "-c", `. "$1"; IFS=' ' read -ra COMP_WORDS <<<"$2"; [[ $2 == *' ' ]] && COMP_WORDS+=('')
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}; _proa; echo "${COMPREPLY[*]}"`, "bash", script, line)
		cmd.Env = append(os.Environ(), "PATH="+onPath(t))
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestFish(t *testing.T) {
	if _, err := exec.LookPath("fish"); err != nil {
		t.Skip("needs fish")
	}
	script := filepath.Join(t.TempDir(), "proa.fish")
	if err := os.WriteFile(script, []byte(fish(tree)), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"proa i": "image", "proa run busy": "busybox:latest", "proa rm ": "old web", "proa remove web ": "old web", "proa stop ": "web",
		"proa image l": "ls", "proa run --n": "--name", "proa image ls ": "",
	} {
		cmd := exec.Command("fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2] | string split -f1 \t | sort`, script, line)
		cmd.Env = append(os.Environ(), "PATH="+onPath(t), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestZsh(t *testing.T) {
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip("needs zsh")
	}
	script := filepath.Join(t.TempDir(), "_proa")
	if err := os.WriteFile(script, []byte(zsh(tree)), 0o644); err != nil {
		t.Fatal(err)
	}
	// The functions of the completion system say what they were given.
	const driver = `compadd() { shift; print -r -- $*; }; _files() { }; _command_names() { }
words=(${(z)2}); [[ $2 == *' ' ]] && words+=(''); CURRENT=$#words; . $1`
	for line, want := range map[string]string{
		"proa ": "run rm remove stop image", "proa rm ": "web old", "proa remove web ": "web old", "proa stop ": "web", "proa run --name x -d ": "docker.io/library/alpine:3 busybox:latest",
		"proa image ": "ls list rm remove", "proa run busybox:latest ": "",
	} {
		cmd := exec.Command("zsh", "-f", "-c", driver, "zsh", script, line)
		cmd.Env = append(os.Environ(), "PATH="+onPath(t))
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestReference(t *testing.T) {
	got := referenceText(tree)
	for _, want := range []string{
		"\n## proa\n", "\n### proa run\n\n    proa run [OPTIONS] IMAGE [COMMAND...]\n", "run &lt;it> \\| pipe's", "| [`proa image ls`](#proa-image-ls) | list images |",
		"| `-v`, `--volume SOURCE:TARGET` | bind (may be given several times) |", "| `--name NAME` | name (default: x; environment: N) |",
		"Also `remove`.\n\nThe same as [`proa rm`](#proa-rm).\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the reference lacks %q:\n%s", want, got)
		}
	}
}

func TestManPages(t *testing.T) {
	pages := manPages(tree, manual.Command{Name: "proa-runtime", Usage: "run bundles", Commands: []manual.Command{{Name: "kill", Usage: "kill", Args: "ID"}}})
	for name, want := range map[string]string{
		"proa.1": ".BR proa\\-run (1)", "proa-run.1": `\fB\-v, \-\-volume\fR \fISOURCE:TARGET\fR`, "proa-image-ls.1": ".TH \"PROA-IMAGE-LS\" 1",
		"proa-image-rm.1": ".so man1/proa-rm.1", "proa-runtime.1": ".SS \"kill ID\"",
	} {
		if !strings.Contains(pages[name], want) {
			t.Errorf("%s lacks %q:\n%s", name, want, pages[name])
		}
	}
	if !strings.Contains(pages["proa-run.1"], "\\&.a \\en thing") {
		t.Errorf("what looks like a request: %s", pages["proa-run.1"])
	}
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("needs groff")
	}
	for name, text := range pages {
		if strings.HasPrefix(text, ".so ") {
			continue
		}
		cmd := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("groff says of %s: %s %v", name, out, err)
		}
	}
}
