package tests

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// login prepares `proa login` with a password on standard input.
func login(e *harness.Env, password string, args ...string) *harness.Cmd {
	c := e.Proa(append([]string{"login", "--tls-verify=false", "--password-stdin"}, args...)...)
	c.Stdin = strings.NewReader(password)
	return c
}

// authFile is a file of credentials for a registry.
func authFile(reg *harness.Registry, user, password string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Addr, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// wantSecret fails the test unless the file is there, the user's, and readable for nobody else.
func wantSecret(t *testing.T, e *harness.Env, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "mode of "+path, fmt.Sprintf("%o", st.Mode().Perm()), "600")
	equal(t, "owner of "+path, fmt.Sprint(owner(t, path)), fmt.Sprint(e.UID))
}

func TestLogin(t *testing.T) {
	reg, e := harness.StartRegistry(t, "mia", "s3cret"), withImage(t, env.Fresh(t))
	auth := filepath.Join(e.Runtime, "containers/auth.json")
	r := refused(t, login(e, "wrong\n", "-u", "mia", reg.Addr), 125, reg.Addr, "user name and password")
	if strings.Contains(r.Stderr, "wrong") {
		t.Errorf("the error shows the password: %s", r.Stderr)
	}
	if _, err := os.Stat(auth); err == nil {
		t.Error("a refused login is kept")
	}
	refused(t, e.Proa("login", "--get-login", reg.Addr), 125, "not logged in", reg.Addr)
	refused(t, push(e, "-q", image, reg.Ref("x:1")), 125, "proa login "+reg.Addr)
	equal(t, "login", login(e, "s3cret\n", "-u", "mia", reg.Addr).OK(t).Out(), "Login Succeeded!")
	wantSecret(t, e, auth)
	equal(t, "--get-login", e.Proa("login", "--get-login", reg.Addr).OK(t).Out(), "mia")
	push(e, "-q", image, reg.Ref("x:1")).OK(t)
	pull(e, "-q", reg.Ref("x:1")).OK(t)
	equal(t, "login again", e.Proa("login", "--tls-verify=false", reg.Addr).OK(t).Out(), "Already logged in to "+reg.Addr+" as mia\nLogin Succeeded!")
	equal(t, "logout", e.Proa("logout", reg.Addr).OK(t).Out(), "Removed login credentials for "+reg.Addr)
	equal(t, "logout again", e.Proa("logout", reg.Addr).OK(t).Out(), "Not logged in to "+reg.Addr)
	refused(t, push(e, "-q", image, reg.Ref("x:1")), 125, "proa login "+reg.Addr)

	r = e.Proa("login", "--tls-verify=false", "-u", "mia", "-p", "s3cret", reg.Addr).OK(t)
	if !strings.Contains(r.Stderr, "--password-stdin") || strings.Contains(r.Stderr, "s3cret") {
		t.Errorf("login -p warns %q", r.Stderr)
	}
	e.Proa("logout", "--all").OK(t)
	refused(t, e.Proa("login", "--get-login", reg.Addr), 125, "not logged in")
	for line, want := range map[string]string{
		"--password-stdin": "--username", "--password-stdin -u a -p b": "--password", "--get-login -u a": "--get-login",
		"a b": "one registry", "bad/../name?x": "bad", "--authfile a --compat-auth-file b": "--compat-auth-file",
	} {
		refused(t, e.Proa(append([]string{"login"}, strings.Fields(line)...)...), 125, want)
	}
	refused(t, login(e, "", "-u", "mia", reg.Addr), 125, "no password")
	refused(t, e.Proa("login", "--tls-verify=false", "-u", "mia", reg.Addr), 125, "no terminal", "--password-stdin")
	refused(t, e.Proa("login", "-u", "mia", "-p", "s3cret", reg.Addr), 125, "speaks HTTP", "--tls-verify=false")
	refused(t, login(e, "x", "-u", "mia", "127.0.0.1:1"), 125, "127.0.0.1:1", "can't be reached")
	refused(t, e.Proa("logout", "--all", reg.Addr), 125, "--all")
}

// TestLoginOnTerminal: name and password are asked for; the password is not shown.
func TestLoginOnTerminal(t *testing.T) {
	reg, e := harness.StartRegistry(t, "mia", "s3cret"), env.Fresh(t)
	term := e.Proa("login", "--tls-verify=false", reg.Addr).OnTerminal(t, 24, 80)
	before := term.Settings(t)
	term.Expect(t, "Username: ")
	term.Type(t, "mia\n")
	term.Expect(t, "Password: ")
	harness.Eventually(t, "the echo is off", func() bool { return term.Settings(t) != before })
	term.Type(t, "s3cret\n")
	equal(t, "exit code", fmt.Sprint(term.Wait(t)), "0")
	term.Expect(t, "Login Succeeded!")
	if strings.Contains(term.Screen(), "s3cret") || term.Settings(t) != before {
		t.Errorf("the password is shown, or the settings are not what they were: %q", term.Screen())
	}
	term = e.Proa("login", "--tls-verify=false", "-u", "other", reg.Addr).OnTerminal(t, 24, 80)
	term.Expect(t, "Password: ")
	harness.Eventually(t, "the echo is off", func() bool { return term.Settings(t) != before })
	term.Type(t, "\x03")
	equal(t, "exit code after Ctrl-C", fmt.Sprint(term.Wait(t)), "125")
	if term.Settings(t) != before {
		t.Error("Ctrl-C leaves the terminal without echo")
	}
}

// TestLoginDocker: Docker's file is read, written when that is asked for, and what else is in it stays.
func TestLoginDocker(t *testing.T) {
	reg, e := harness.StartRegistry(t, "mia", "s3cret"), withImage(t, env.Fresh(t))
	docker := e.WriteFile(t, filepath.Join(e.Home, ".docker/config.json"), authFile(reg, "mia", "s3cret"), 0o600)
	equal(t, "--get-login", e.Proa("login", "--get-login", reg.Addr).OK(t).Out(), "mia")
	push(e, "-q", image, reg.Ref("x:1")).OK(t)
	refused(t, e.Proa("logout", reg.Addr), 125, "docker", "--compat-auth-file")
	e.Proa("logout", "--compat-auth-file", docker, reg.Addr).OK(t)
	e.WriteFile(t, docker, `{"detachKeys":"ctrl-a"}`, 0o600)
	login(e, "s3cret", "-u", "mia", "--compat-auth-file", docker, reg.Addr).OK(t)
	data, err := os.ReadFile(docker)
	if err != nil || !strings.Contains(string(data), "ctrl-a") || !strings.Contains(string(data), reg.Addr) {
		t.Errorf("Docker's file is %s, %v", data, err)
	}
	wantSecret(t, e, docker)
	e.WriteFile(t, docker, `{"auths":`, 0o600)
	refused(t, e.Proa("login", "--get-login", reg.Addr), 125, "config.json")
}

// TestLoginHelper: a credential helper gets the secret on its standard input, and it stands on no command line and in no
// file.
func TestLoginHelper(t *testing.T) {
	reg, e := harness.StartRegistry(t, "mia", "s3cret"), withImage(t, env.Fresh(t))
	bin := e.TempDir(t)
	e.WriteFile(t, filepath.Join(bin, "docker-credential-test"), `#!/bin/sh
echo "$0 $*" >> `+bin+`/calls
case $1 in
store) cat > `+bin+`/stored ;;
get) cat > /dev/null; test -e `+bin+`/stored || { echo "credentials not found in native keychain"; exit 1; }; cat `+bin+`/stored ;;
erase) cat > /dev/null; rm -f `+bin+`/stored ;;
list) echo "{}" ;;
esac
`, 0o755)
	e.Extra = append(e.Extra, "PATH="+bin+":"+filepath.Join(e.Prefix, "bin")+":/usr/sbin:/usr/bin:/sbin:/bin")
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf"), `credential-helpers = ["test"]`, 0o644)
	login(e, "s3cret", "-u", "mia", reg.Addr).OK(t)
	if stored, err := os.ReadFile(filepath.Join(bin, "stored")); err != nil || !strings.Contains(string(stored), `"s3cret"`) {
		t.Errorf("the helper has %s, %v", stored, err)
	}
	equal(t, "owner of what the helper wrote", fmt.Sprint(owner(t, filepath.Join(bin, "stored"))), fmt.Sprint(e.UID))
	push(e, "-q", image, reg.Ref("x:1")).OK(t)
	e.Proa("logout", reg.Addr).OK(t)
	refused(t, push(e, "-q", image, reg.Ref("x:1")), 125, "proa login")
	calls, err := os.ReadFile(filepath.Join(bin, "calls"))
	if err != nil || strings.Contains(string(calls), "s3cret") || !strings.Contains(string(calls), " store") {
		t.Errorf("the helper was called with %s, %v", calls, err)
	}
	if _, err := os.Stat(filepath.Join(e.Runtime, "containers/auth.json")); err == nil {
		t.Error("the credentials are in auth.json as well")
	}
}

// TestLoginWithoutRuntimeDir: where nobody has made the usual place, they are kept in the next one.
func TestLoginWithoutRuntimeDir(t *testing.T) {
	reg, e := harness.StartRegistry(t, "mia", "s3cret"), env.Fresh(t)
	c := login(e, "s3cret", "-u", "mia", reg.Addr)
	c.Env = []string{"XDG_RUNTIME_DIR="}
	c.OK(t)
	for _, place := range []string{filepath.Join(e.Home, ".config/containers/auth.json"), fmt.Sprintf("/run/user/%d/containers/auth.json", e.UID)} {
		if _, err := os.Stat(place); err == nil {
			wantSecret(t, e, place)
			_ = os.Remove(place)
			return
		}
	}
	t.Error("the credentials are in neither place")
}
