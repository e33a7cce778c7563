package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// refusedPull wants exit code 125 and one line, which holds every word of want, and nothing left in the store.
func refusedPull(t *testing.T, e *harness.Env, c *harness.Cmd, want ...string) {
	t.Helper()
	r := refused(t, c, 125, want...)
	if strings.Count(r.Stderr, "\n") != 1 || r.Stdout != "" {
		t.Errorf("%s: not one sentence: %q%q", c, r.Stdout, r.Stderr)
	}
	pullLeftNothing(t, e)
}

// TestBrokenConfiguration: the error names the file and what is wrong in it, and calls no image damaged.
func TestBrokenConfiguration(t *testing.T) {
	reg := harness.StartRegistry(t, "", "")
	reg.Push(t, "b:1", baseImage(t))
	const registries, policy, auth, docker = "home/.config/containers/registries.conf", "home/.config/containers/policy.json", "run/containers/auth.json", "home/.docker/config.json"
	for name, c := range map[string]struct {
		file, content string
		want          []string
	}{
		"registries.conf is no TOML":    {registries, "nonsense [", []string{"line 1", "mend it"}},
		"registries.conf, wrong type":   {registries, "unqualified-search-registries = 7\n", []string{"unqualified-search-registries", "mend it"}},
		"registries.conf, wrong value":  {registries, "short-name-mode = \"sometimes\"\n", []string{"sometimes", "mend it"}},
		"registries.conf, wrong mirror": {registries, "[[registry]]\nlocation = \"https://x.example\"\n", []string{"https://x.example", "mend it"}},
		"a drop-in file":                {"home/.config/containers/registries.conf.d/x.conf", "[[", []string{"line 1", "mend it"}},
		"policy.json is no JSON":        {policy, "{", []string{"mend it"}},
		"policy.json without a default": {policy, "{}", []string{"efault", "mend it"}},
		"policy.json, unknown type":     {policy, `{"default":[{"type":"perhaps"}]}`, []string{"perhaps", "mend it"}},
		"policy.json rejects":           {policy, `{"default":[{"type":"reject"}]}`, []string{"policy.json rejects", reg.Ref("b:1")}},
		"policy.json, key of no one":    {policy, `{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/no/such/key"}]}`, []string{reg.Ref("b:1")}},
		"auth.json is no JSON":          {auth, "{", []string{"mend the credentials file"}},
		"auth.json, not base64":         {auth, fmt.Sprintf(`{"auths":{%q:{"auth":"!!"}}}`, reg.Addr), []string{"base64", "mend the credentials file"}},
		"auth.json, helper not there":   {auth, fmt.Sprintf(`{"credHelpers":{%q:"nonesuch"}}`, reg.Addr), []string{"docker-credential-nonesuch", "install"}},
		"docker's config.json no JSON":  {docker, "[", []string{"mend the credentials file"}},
		"storage.conf is no TOML":       {"home/.config/containers/storage.conf", "driver", []string{"mend it"}},
		"storage.conf, unknown driver":  {"home/.config/containers/storage.conf", "[storage]\ndriver = \"punchcards\"\n", []string{"punchcards", "overlay"}},
		"storage.conf, no directory":    {"home/.config/containers/storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"/proc/none\"\n", []string{"/proc/none"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := env.Fresh(t)
			file := e.WriteFile(t, strings.Replace(strings.Replace(c.file, "home/", e.Home+"/", 1), "run/", e.Runtime+"/", 1), c.content, 0o600)
			words := c.want
			if !strings.Contains(name, "rejects") && !strings.Contains(name, "key of no one") && !strings.Contains(name, "base64") && !strings.Contains(name, "helper") {
				words = append(words, filepath.Base(file))
			}
			r := refused(t, pull(e, "-q", reg.Ref("b:1")), 125, words...)
			if strings.Count(r.Stderr, "\n") != 1 || strings.Contains(r.Stderr, "damaged") {
				t.Errorf("not one sentence about the file: %q", r.Stderr)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			pullLeftNothing(t, e)
			pull(e, "-q", reg.Ref("b:1")).OK(t)
		})
	}
}

// TestPullWithoutPolicy: where there is no policy.json, as on a machine that never had Podman, every image is accepted.
func TestPullWithoutPolicy(t *testing.T) {
	harness.Requires(t, "root", "unshare", "setpriv", "/etc/containers")
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "b:1", baseImage(t))
	c := e.CommandIn("mount -t tmpfs none /etc/containers", filepath.Join(e.Prefix, "bin/proa"), "pull", "-q", "--tls-verify=false", reg.Ref("b:1"))
	c.OK(t)
	equal(t, "images", e.Proa("images", "--format", listFormat).OK(t).Out(), reg.Ref("b:1"))
}

func TestPullFilesThatAreNotThere(t *testing.T) {
	e := env.Fresh(t)
	refusedPull(t, e, pull(e, "-q", "--authfile", "/no/such/auth.json", "127.0.0.1:1/a:1"), "/no/such/auth.json")
	refusedPull(t, e, pull(e, "-q", "--cert-dir", "/no/such/dir", "127.0.0.1:1/a:1"), "/no/such/dir")
	c := pull(e, "-q", "127.0.0.1:1/a:1")
	c.Env = []string{"REGISTRY_AUTH_FILE=/no/such/auth.json"}
	refusedPull(t, e, c, "/no/such/auth.json")
}

// TestShortNameAlias: an alias of registries.conf is meant, whatever else is called so; then localhost/ and docker.io/library/.
func TestShortNameAlias(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	which := func(by string) harness.Image {
		img := baseImage(t)
		img.Config.Env = append(img.Config.Env, "BY="+by)
		return img
	}
	reg.Push(t, "dir/real:latest", which("alias"))
	for _, name := range []string{"x.example/team/nick", "localhost/nick", "x.example/team/both", "docker.io/library/both", "x.example/team/lone"} {
		e.Proa("load", "-q", "-i", archive(t, e, "i.tar", which(name).DockerArchive(name+":latest"))).OK(t)
	}
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf"), fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", reg.Addr), 0o644)
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf.d/1.conf"), fmt.Sprintf("[aliases]\nnick = %q\n", reg.Ref("dir/real")), 0o644)
	by := func(name string) string {
		return e.Proa("run", "--rm", "--network=none", name, "sh", "-c", "echo $BY").OK(t).Out()
	}
	equal(t, "what is not there yet", e.Proa("images", "-q", reg.Ref("dir/real")).OK(t).Out(), "")
	equal(t, "both", by("both"), "docker.io/library/both")
	equal(t, "lone", by("lone"), "x.example/team/lone")
	e.Proa("pull", "-q", "nick").OK(t)
	equal(t, "nick", by("nick"), "alias")
	e.Proa("rmi", "nick").OK(t)
	equal(t, "rmi of the alias", e.Proa("images", "-q", reg.Ref("dir/real")).OK(t).Out(), "")
	equal(t, "the next one", by("nick"), "localhost/nick")
	e.Proa("rmi", "localhost/nick").OK(t)
	equal(t, "nick, which is pulled", by("nick:latest"), "alias")
}

func TestPullTLS(t *testing.T) {
	e, img := env.Fresh(t), baseImage(t)
	addr, ca := harness.TLSRegistry(t, img)
	ref := addr + "/b:1"
	refusedPull(t, e, e.Proa("pull", "-q", ref), ref, "can't be trusted", "certs.d/"+addr+"/ca.crt", "--tls-verify=false")
	dir := e.TempDir(t)
	file := e.WriteFile(t, filepath.Join(dir, "ca.crt"), "no certificate", 0o644)
	refusedPull(t, e, e.Proa("pull", "-q", ref, "--cert-dir", dir), ref, file)
	e.WriteFile(t, file, string(ca), 0o644)
	e.Proa("pull", "-q", ref, "--cert-dir", dir).OK(t)
	e.Proa("rmi", ref).OK(t)
	e.Proa("pull", "-q", ref, "--tls-verify=false").OK(t)
	e.Proa("rmi", ref).OK(t)
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/certs.d", addr, "ca.crt"), string(ca), 0o644)
	e.Proa("pull", "-q", ref).OK(t)
	equal(t, "run", e.Proa("run", "--rm", "--network=none", ref, "echo", "hi").OK(t).Out(), "hi")
}
