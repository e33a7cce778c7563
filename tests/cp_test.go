package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// stopped makes a container that has never run.
func stopped(t testing.TB, e *harness.Env, flags ...string) string {
	t.Helper()
	name := containerName(t)
	line := append([]string{"create", "--network=none", "--name", name}, flags...)
	withImage(t, e).Proa(append(line, image, "sleep", "1000")...).OK(t)
	removeLater(t, e, name)
	return name
}

// eachCopied runs the test for a running and for a stopped container; have is what is in it at a path, as an archive has it.
func eachCopied(t *testing.T, test func(t *testing.T, name string, have func(path string) string)) {
	for _, state := range []string{"running", "stopped"} {
		t.Run(state, func(t *testing.T) {
			name := ""
			if state == "running" {
				name = start(t, env, "sleep", "1000")
			} else {
				name = stopped(t, env)
			}
			test(t, name, func(path string) string {
				t.Helper()
				line := fmt.Sprintf("proa cp %s:%s - | tar -x -O", name, path)
				return env.Command("sh", "-c", line).OK(t).Stdout
			})
		})
	}
}

// sample makes a tree in the user's home and returns its directory.
func sample(t testing.TB) string {
	t.Helper()
	dir := env.TempDir(t)
	env.Command("sh", "-c", `cd "$0" && mkdir -p d/sub && echo one > d/one && chmod 640 d/one && echo two > d/sub/two &&
		ln d/one d/same && ln -s sub d/link && mkfifo d/fifo && touch -d 2001-02-03T04:05:06Z d/one d/sub && echo file > f`, dir).OK(t)
	return dir
}

func TestCpTargets(t *testing.T) {
	dir := sample(t)
	eachCopied(t, func(t *testing.T, name string, have func(string) string) {
		cp := func(from, to string) *harness.Cmd { return env.Proa("cp", dir+"/"+from, name+":"+to) }
		cp("f", "/new").OK(t)
		equal(t, "a file under a new name", have("/new"), "file\n")
		cp("f", "/tmp").OK(t)
		equal(t, "a file into a directory", have("/tmp/f"), "file\n")
		cp("d/one", "/new").OK(t)
		equal(t, "a file in the place of another", have("/new"), "one\n")
		cp("d", "/tmp").OK(t)
		equal(t, "a directory into one", have("/tmp/d/sub/two"), "two\n")
		cp("d", "/fresh").OK(t)
		equal(t, "a directory under a new name", have("/fresh/sub/two"), "two\n")
		cp("d/.", "/tmp").OK(t)
		equal(t, "what is in a directory", have("/tmp/sub/two"), "two\n")
		cp("d", "/fresh/").OK(t)
		equal(t, "a directory into one with a slash", have("/fresh/d/sub/two"), "two\n")
		cp("f", "relative").OK(t)
		equal(t, "a path without a slash begins at the root", have("/relative"), "file\n")
		refused(t, cp("f", "/none/"), 1, "/none/", "make it")
		refused(t, cp("f", "/no/dir/f"), 1, "/no/dir", "make it")
		refused(t, cp("d", "/new"), 1, "directory", "/new")
		refused(t, cp("f", "/new/"), 1, "not a directory")
		refused(t, cp("nothing", "/x"), 1, "nothing")
		refused(t, cp("f/", "/x"), 1, "not a directory")
		cp("f", "/tmp/sub/two").OK(t)
		env.Command("sh", "-c", "rm -rf $0/clash && mkdir -p $0/clash/sub/two", dir).OK(t)
		refused(t, cp("clash/.", "/tmp"), 1, "sub/two", "remove it first")
		env.Proa("cp", "--overwrite", dir+"/clash/.", name+":/tmp").OK(t)
		env.Proa("cp", name+":/tmp/sub/two", env.TempDir(t)+"/empty").OK(t)
		env.Command("sh", "-c", "rm -r $0/clash && mkdir $0/clash && echo x > $0/clash/sub", dir).OK(t)
		refused(t, cp("clash/.", "/tmp"), 1, "sub", "directory", "remove it first")
		env.Proa("cp", "--overwrite", dir+"/clash/.", name+":/tmp").OK(t)
		equal(t, "a directory replaced by a file", have("/tmp/sub"), "x\n")
		env.Proa("cp", "--overwrite", dir+"/d", name+":/new").OK(t)
		equal(t, "a file replaced by a directory", have("/new/sub/two"), "two\n")
	})
}

func TestCpBack(t *testing.T) {
	dir := sample(t)
	eachCopied(t, func(t *testing.T, name string, have func(string) string) {
		out := env.TempDir(t)
		env.Proa("cp", dir+"/d", name+":/d").OK(t)
		env.Proa("cp", name+":/d", out).OK(t)
		diff := env.Command("sh", "-c", `cd "$0" && find . -printf '%P %y %m %l %n\n' | sort`, dir+"/d").OK(t).Stdout
		equal(t, "the tree", env.Command("sh", "-c", `cd "$0" && find . -printf '%P %y %m %l %n\n' | sort`, out+"/d").OK(t).Stdout, diff)
		equal(t, "times", env.Command("stat", "-c", "%Y", out+"/d/one", out+"/d/sub").OK(t).Out(), "981173106\n981173106")
		owner := env.Command("stat", "-c", "%u", out+"/d/sub/two").OK(t).Out()
		equal(t, "owner", owner, fmt.Sprint(env.UID))
		env.Proa("cp", name+":/d/link/two", out+"/renamed").OK(t)
		equal(t, "through a link on the way", env.Command("cat", out+"/renamed").OK(t).Out(), "two")
		env.Proa("cp", name+":/d/.", out+"/inner").OK(t)
		equal(t, "under a new name", env.Command("cat", out+"/inner/sub/two").OK(t).Out(), "two")
		refused(t, env.Proa("cp", name+":/none", out), 1, name, "/none")
		refused(t, env.Proa("cp", name+":/d/one/", out), 1, "not a directory")
		refused(t, env.Proa("cp", name+":/d/one", out+"/no/dir/"), 1, "make it")
	})
}

func TestCpLinks(t *testing.T) {
	dir, out := sample(t), env.TempDir(t)
	name := start(t, env, "sh", "-c", `ln -s /etc/passwd /abs; ln -s ../../../../../../../etc/passwd /up; ln -s / /tmp/esc
		ln -s ../../../../../.. /tmp/esc2; ln -s /made /dangling; mkdir /real; echo inner > /real/f; ln -s real /dirlink; sleep 1000`)
	harness.Eventually(t, "the links are made", func() bool { return env.Proa("exec", name, "test", "-L", "/dirlink").Run(t).Code == 0 })
	passwd := env.Proa("exec", name, "cat", "/etc/passwd").OK(t).Stdout
	for _, l := range []string{"/abs", "/up", "/tmp/esc/abs", "/tmp/esc2/etc/passwd"} {
		env.Proa("cp", "-L", name+":"+l, out+"/pw").OK(t)
		equal(t, l+" is followed in the container", env.Command("cat", out+"/pw").OK(t).Stdout, passwd)
	}
	env.Proa("cp", name+":/up", out+"/link").OK(t)
	equal(t, "the link itself", env.Command("readlink", out+"/link").OK(t).Out(), "../../../../../../../etc/passwd")
	env.Proa("cp", name+":/dirlink/", out+"/dl").OK(t)
	equal(t, "a link with a slash is its directory", env.Command("cat", out+"/dl/f").OK(t).Out(), "inner")

	env.Proa("cp", dir+"/f", name+":/dangling").OK(t)
	equal(t, "a dangling target", env.Proa("exec", name, "cat", "/made").OK(t).Out(), "file")
	for _, l := range []string{"/tmp/esc", "/tmp/esc2"} {
		env.Proa("cp", dir+"/f", name+":"+l+"/proa-cp-escape").OK(t)
		equal(t, l+" as target stays in the container", env.Proa("exec", name, "cat", "/proa-cp-escape").OK(t).Out(), "file")
	}
	if _, err := os.Lstat("/proa-cp-escape"); err == nil {
		t.Error("a symbolic link led cp out of the container")
	}
	env.Proa("cp", dir+"/f", name+":/dirlink").OK(t)
	equal(t, "a link to a directory as target", env.Proa("exec", name, "cat", "/real/f").OK(t).Out(), "file")
}

// TestCpArchiveEscapes: links in an archive lead nowhere but into the container.
func TestCpArchiveEscapes(t *testing.T) {
	evil := harness.Layer(
		harness.Entry{Name: "out", Link: "/", Type: '2'}, harness.Entry{Name: "out/by-link", Content: "1"},
		harness.Entry{Name: "../../../../by-dots", Content: "2"}, harness.Entry{Name: "/by-root", Content: "3"},
		harness.Entry{Name: "up", Link: "../../../../../../../..", Type: '2'}, harness.Entry{Name: "up/tmp/by-up", Content: "4"},
	)
	file := archive(t, env, "evil.tar", evil)
	eachCopied(t, func(t *testing.T, name string, have func(string) string) {
		env.Command("sh", "-c", fmt.Sprintf("proa cp - %s:/root < %s", name, file)).OK(t)
		for path, want := range map[string]string{"/by-link": "1", "/root/by-dots": "2", "/root/by-root": "3", "/tmp/by-up": "4"} {
			equal(t, path, have(path), want)
		}
		for _, path := range []string{"/by-link", "/by-dots", "/by-root", "/tmp/by-up"} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s was made on the host", path)
			}
		}
		hard := archive(t, env, "hard.tar", harness.Layer(harness.Entry{Name: "h", Link: "../../../../../etc/shadow", Type: '1'}))
		refused(t, env.Command("sh", "-c", fmt.Sprintf("proa cp - %s:/root < %s", name, hard)), 1, "etc/shadow")
	})
}

func TestCpArchives(t *testing.T) {
	dir := sample(t)
	eachCopied(t, func(t *testing.T, name string, have func(string) string) {
		sh := func(line string) *harness.Cmd { return env.Command("sh", "-c", line, dir, name) }
		sh(`cd $0 && tar -c d | proa cp - $1:/root`).OK(t)
		equal(t, "unpacked", have("/root/d/sub/two"), "two\n")
		sh(`cd $0 && tar -cz d | proa cp - $1:/tmp`).OK(t)
		equal(t, "unpacked from gzip", have("/tmp/d/sub/two"), "two\n")
		sh(`cd $0 && tar -c --owner=7 --group=8 f | proa cp - $1:/root`).OK(t)
		if list := sh(`proa cp $1:/root/f - | tar -tv`).OK(t).Out(); !strings.Contains(list, " 7/8 ") {
			t.Errorf("the owner that the archive names is not kept: %s", list)
		}
		want := sh(`cd $0 && tar -c d | tar -t | sort`).OK(t).Stdout
		equal(t, "packed", sh(`proa cp $1:/root/d - | tar -t | sort`).OK(t).Stdout, want)
		refused(t, sh(`echo junk | proa cp - $1:/root`), 1, "tar archive")
		refused(t, sh(`cd $0 && tar -c d | head -c 3000 | proa cp - $1:/root`), 1, "unexpected EOF")
		refused(t, sh(`proa cp - $1:/root/f < /dev/null`), 1, "directory")
		sh(`tar -c -T /dev/null | proa cp - $1:/root`).OK(t)
	})
}

func TestCpBetweenContainers(t *testing.T) {
	dir := sample(t)
	one, two := start(t, env, "sleep", "1000"), stopped(t, env)
	env.Proa("cp", dir+"/d", one+":/d").OK(t)
	env.Proa("cp", one+":/d", two+":/e").OK(t)
	env.Proa("cp", two+":/e/sub/.", one+":/back").OK(t)
	equal(t, "to and back", env.Proa("exec", one, "cat", "/back/two").OK(t).Out(), "two")
	env.Proa("cp", two+":/e", two+":/copy").OK(t)
	env.Proa("cp", two+":/copy/one", one+":/one").OK(t)
	refused(t, env.Proa("cp", one+":/d", one+":/d/sub"), 1, "itself")
	equal(t, "nothing was copied", env.Proa("exec", one, "ls", "/d/sub").OK(t).Out(), "two")
}

func TestCpOwners(t *testing.T) {
	dir := sample(t)
	eachCopied(t, func(t *testing.T, name string, _ func(string) string) {
		list := func(path string) string {
			return env.Command("sh", "-c", fmt.Sprintf("proa cp %s:%s - | tar -tv --numeric-owner", name, path)).OK(t).Out()
		}
		file := archive(t, env, "owned.tar", harness.Layer(harness.Entry{Name: "o", Content: "x", UID: 11, GID: 12, Mode: 0o4755}))
		env.Command("sh", "-c", fmt.Sprintf("proa cp - %s:/ < %s", name, file)).OK(t)
		out := env.TempDir(t)
		env.Proa("cp", name+":/o", out+"/plain").OK(t)
		equal(t, "on the host", env.Command("stat", "-c", "%u", out+"/plain").OK(t).Out(), fmt.Sprint(env.UID))
		env.Proa("cp", "-a", name+":/o", out+"/kept").OK(t)
		if env.Command("stat", "-c", "%u", out+"/kept").OK(t).Out() == fmt.Sprint(env.UID) {
			t.Error("-a does not keep the owner")
		}
		env.Proa("cp", "-a", out+"/kept", name+":/kept").OK(t)
		if got := list("/kept"); !strings.HasPrefix(got, "-rwsr-xr-x 11/12") {
			t.Errorf("-a there and back: %s", got)
		}
		env.Proa("cp", out+"/kept", name+":/rooted").OK(t)
		if got := list("/rooted"); !strings.HasPrefix(got, "-rwsr-xr-x 0/0") {
			t.Errorf("without -a: %s", got)
		}
		env.Proa("unshare", "rm", "-f", out+"/kept").OK(t)
		env.Proa("cp", dir+"/f", name+":/o").OK(t)
		if got := list("/o"); !strings.HasPrefix(got, "-rw-r--r-- 0/0") {
			t.Errorf("in the place of another's file: %s", got)
		}
	})
}

func TestCpRefusals(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	refused(t, env.Proa("cp"), 125, "source")
	refused(t, env.Proa("cp", name+":/etc"), 125, "target")
	refused(t, env.Proa("cp", "/a", "/b"), 125, "CONTAINER:PATH")
	refused(t, env.Proa("cp", name+":", "/b"), 125, "empty")
	refused(t, env.Proa("cp", "no-such-container:/x", "."), 1, "no-such-container")
	refused(t, env.Proa("cp", "/etc/passwd", "no-such-container:/x"), 1, "no-such-container")
	refused(t, env.Proa("cp", name+":/etc/passwd", "/no-such-directory/x"), 1, "/no-such-directory")
	refused(t, env.Proa("cp", name+":/etc/passwd", "/"), 1, "permission denied")
	refused(t, env.Proa("cp", name+":/dev/null", env.TempDir(t)), 1, "device", "root")
	dir := env.TempDir(t)
	env.WriteFile(t, filepath.Join(dir, "a:b"), "colon\n", 0o644)
	c := env.Proa("cp", "./a:b", name+":/colon")
	c.Dir = dir
	c.OK(t)
	equal(t, "./ before a colon", env.Proa("exec", name, "cat", "/colon").OK(t).Out(), "colon")
}

// TestCpSparse: holes stay holes.
func TestCpSparse(t *testing.T) {
	name, dir := start(t, env, "sleep", "1000"), env.TempDir(t)
	env.Command("sh", "-c", "truncate -s 4G $0/big && printf end | dd of=$0/big bs=1 seek=3G conv=notrunc status=none", dir).OK(t)
	env.Proa("cp", dir+"/big", name+":/big").OK(t)
	env.Proa("cp", name+":/big", dir+"/back").OK(t)
	equal(t, "what is in it", env.Command("sh", "-c", "dd if=$0/back bs=1 skip=3G count=3 status=none; stat -c ' %s' $0/back", dir).OK(t).Out(), "end 4294967296")
	if kb := strings.Fields(env.Command("du", "-k", dir+"/back").OK(t).Out())[0]; len(kb) > 4 {
		t.Errorf("the holes were filled: %s kB", kb)
	}
}

// TestCpFullDisk: a file that does not fit leaves nothing of itself.
func TestCpFullDisk(t *testing.T) {
	name, dir := start(t, env, "--tmpfs", "/small:size=1m", "--", "sleep", "1000"), env.TempDir(t)
	env.Command("sh", "-c", "head -c 3000000 /dev/zero > $0/big", dir).OK(t)
	refused(t, env.Proa("cp", dir+"/big", name+":/small/big"), 1, "no space left")
	equal(t, "what is left", env.Proa("exec", name, "ls", "/small").OK(t).Out(), "")
}

// TestCpStream: a pipe that is closed ends cp, and one that is slow does not make it grow.
func TestCpStream(t *testing.T) {
	name := start(t, env, "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; touch /done; sleep 1000")
	env.Proa("exec", name, "sh", "-c", "while ! test -e /done; do sleep 0.05; done").OK(t)
	env.Command("sh", "-c", "proa cp $0:/big - | head -c 100 >/dev/null", name).OK(t)
	out := env.Command("sh", "-c", `proa cp $0:/big - | { sleep 0.5; grep VmHWM /proc/$(pgrep -n -u $(id -u) -f "cp $0:/big")/status; cat > /dev/null; }`, name).OK(t).Out()
	if kb, err := strconv.Atoi(strings.Fields(field(out, "VmHWM"))[0]); err != nil || kb > 40_000 {
		t.Errorf("cp needs %d kB (%v) for a file of 64 MB", kb, err)
	}
}

// TestCpRoot copies all of a running container: what the kernel makes is no part of it.
func TestCpRoot(t *testing.T) {
	name, out := start(t, env, "sleep", "1000"), env.TempDir(t)
	r := env.Proa("cp", name+":/", out+"/root").OK(t)
	if !strings.Contains(r.Stderr, "dev/null") || !strings.Contains(r.Stderr, "left out") {
		t.Errorf("devices are left out without a word: %s", r.Stderr)
	}
	equal(t, "what is in it", env.Command("sh", "-c", "cd $0/root; cat etc/passwd | head -n 1; ls proc sys", out).OK(t).Out(), "root:x:0:0:root:/root:/bin/sh\nproc:\n\nsys:")
	for _, path := range []string{"/proc/cpuinfo", "/sys/kernel", "/proc/"} {
		refused(t, env.Proa("cp", name+":"+path, out), 1, "/proc and /sys", "exec")
	}
	env.Command("sh", "-c", "proa cp $0:/ - | tar -t > /dev/null", name).OK(t)
}

// TestCpInterrupted: Ctrl-C ends cp and export, also while they wait for a pipe.
func TestCpInterrupted(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	for _, args := range [][]string{{"cp", "-", name + ":/tmp"}, {"cp", name + ":/bin", "-"}, {"export", name}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		x := env.Proa(args...).Exec(context.Background())
		var text buffer
		x.Stderr = &text
		if args[1] == "-" {
			x.Stdin = r // which nobody writes to
		} else {
			x.Stdout = w // which nobody reads
		}
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // it waits for the pipe by then, most likely
		if err := x.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- x.Wait() }()
		harness.Eventually(t, strings.Join(args, " ")+" ends", func() bool { return len(done) == 1 })
		if code := harness.ExitCode(x.ProcessState); code != 130 || !strings.Contains(text.String(), "interrupted") {
			t.Errorf("%v: exit code %d, want 130: %s", args, code, text.String())
		}
		r.Close()
		w.Close()
	}
}

// TestFileEvents: what Docker tells of, told in its words.
func TestFileEvents(t *testing.T) {
	name, dir := start(t, env, "sleep", "1000"), env.TempDir(t)
	env.Proa("cp", name+":/etc/passwd", dir).OK(t)
	env.Proa("cp", dir+"/passwd", name+":/tmp").OK(t)
	env.Proa("export", "-o", dir+"/x.tar", name).OK(t)
	env.Proa("top", name).OK(t)
	id := env.Proa("commit", "-q", "--pause=false", "-m", "why", name).OK(t).Out()
	env.Proa("rmi", id).OK(t)
	equal(t, "events", events(t, name, "{{.Action}}{{with .Attributes.path}} {{.}}{{end}}{{with .Attributes.comment}} {{.}}{{end}}"),
		"create\nstart\narchive-path /etc/passwd\nextract-to-dir /tmp\nexport\ntop\ncommit why")
}
