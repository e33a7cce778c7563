package main

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// parseRun reads a command line of run, without running it.
func parseRun(args ...string) (ctr *libpod.Container, err error) {
	a := &app{in: os.Stdin, out: io.Discard, err: io.Discard}
	cmds := newApp(a)
	run := cmds.Command("run")
	run.Action = func(c *cli.Context) error {
		ctr, err = parseCreate(a, c)
		return err
	}
	line := append([]string{"proa", "run"}, args...)
	return ctr, cmds.Run(argv.Canonical(cmds, line))
}

func TestCanonical(t *testing.T) {
	cmds := newApp(&app{in: os.Stdin, out: io.Discard, err: io.Discard})
	for in, want := range map[string]string{
		"run -it img sh":                       "run --interactive --tty -- img sh",
		"run -itd --rm img":                    "run --interactive --tty --detach --rm -- img",
		"run -eA=1 -e B=2 --env C img":         "run --env=A=1 --env=B=2 --env=C -- img",
		"run -e=A=1 --env=B=2 img":             "run --env=A=1 --env=B=2 -- img",
		"run -itw /tmp -u1000 img":             "run --interactive --tty --workdir=/tmp --user=1000 -- img",
		"run -p8080:80 img":                    "run --publish=8080:80 -- img",
		"run -u -1 img":                        "run --user=-1 -- img",
		"run -h box --net none img -h -it":     "run --hostname=box --network=none -- img -h -it",
		"run img ls -l --rm -- -x":             "run -- img ls -l --rm -- -x",
		"run --rm -- img -l":                   "run --rm -- img -l",
		"run --sig-proxy=false -d=false img":   "run --sig-proxy=false --detach=false -- img",
		"run --no-such img":                    "run --no-such -- img",
		"run -ix img":                          "run --interactive -ix -- img",
		"stop one --time":                      "stop --time",
		"run -e":                               "run --env",
		"rm one -f two":                        "rm --force -- one two",
		"rm -f -- -odd":                        "rm --force -- -odd",
		"stop -t 3 one":                        "stop --time=3 -- one",
		"stop --timeout 3 one":                 "stop --time=3 -- one",
		"stop -h":                              "stop --help",
		"logs c -f -n5":                        "logs --follow --tail=5 -- c",
		"exec -it -w /x c ls -l":               "exec --interactive --tty --workdir=/x -- c ls -l",
		"debug c --image t -w/x ls -l":         "debug --image=t --workdir=/x -- c ls -l",
		"debug -t c -- ls -l":                  "debug --tty -- c ls -l",
		"debug --latest --image t ls -t":       "debug --latest --image=t -- ls -t",
		"debug -l -it":                         "debug --latest --interactive --tty",
		"nonsense -it":                         "nonsense -it",
		"run - img":                            "run -- - img",
		"run --entrypoint  img":                "run --entrypoint= -- img",
		"run -v /a:/b:ro --volume /c:/d img x": "run --volume=/a:/b:ro --volume=/c:/d -- img x",
	} {
		got := strings.Join(argv.Canonical(cmds, append([]string{"proa"}, strings.Split(in, " ")...)), " ")
		if got != "proa "+want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, "proa "+want)
		}
	}
}

func TestParseCreate(t *testing.T) {
	t.Setenv("FROM_HOST", "here")
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	env := write("env", "# comment\n\n  FILE=a b\nFROM_HOST\nNOT_ON_HOST\nBOTH=file\r\n")
	labels := write("labels", "from.file=1\nboth=file\n")
	profile := write("seccomp.json", "{}")
	for name, line := range map[string][]string{
		"plain": {"img"},
		"container": {"--name", "n", "--rm", "-it", "--pull=never", "--platform", "linux/arm64/v8", "-l", "a=1,2", "--label", "bare", "--label-file", labels,
			"-l", "both=flag", "--annotation", "k=v=w", "--stop-signal", "quit", "--stop-timeout", "-1", "--log-driver", "json-file",
			"--log-opt", "max-size=1m", "--log-opt", "max-file=3", "img", "cmd", "-x"},
		"process": {"-e", "A=1,2", "--env", "B= spaced ", "-eC=x=y", "-e", "FROM_HOST", "-e", "UNSET_ANYWHERE", "--env-file", env, "-w", "/a/../b", "-u", "u:g",
			"--group-add", "audio", "--group-add=7", "--entrypoint", `["/bin/sh", "-c"]`, "--init", "--ulimit", "nofile=10:20", "--ulimit", "core=-1",
			"--sysctl", "net.ipv4.ip_forward=1", "--oom-score-adj", "-500", "img"},
		"namespaces": {"--net", "ns:/run/net", "--pid", "host", "--ipc=private", "--uts", "ns:/run/uts", "--cgroupns", "host", "-h", "box.example",
			"--domainname", "lan", "--add-host", "db:10.0.0.1", "--add-host", "six:[fd00::1]", "img"},
		"networks": {"--network", "back:ip=10.1.0.5,mac=02:42:ac:11:00:02,alias=db,interface_name=net1", "--net=name=front", "--network-alias", "web", "-p", "8080:80", "-p127.0.0.1::53/udp",
			"--publish=[::1]:5000-5001:5000-5001", "-P", "--expose", "90-91/udp", "--expose=443", "--add-host", "x=10.0.0.1", "img"},
		"default network": {"--network=bridge", "--ip", "10.88.0.9", "--mac-address", "02-42-AC-11-00-02", "img"},
		"security": {"--cap-add", "sys_admin", "--cap-add=CAP_BPF,KILL", "--cap-drop", "all", "--security-opt", "no-new-privileges",
			"--security-opt", "seccomp=" + profile, "--security-opt", "label=disable", "--security-opt", "mask=/a:/b", "--security-opt", "unmask=/proc/kcore",
			"--security-opt", "systempaths=unconfined", "--security-opt", "apparmor=unconfined", "img"},
		"mounts": {"--read-only", "-v", dir + ":/v:ro,z,rslave", "-v", env + ":/one", "--mount", "type=bind,src=" + dir + ",dst=/m,readonly,bind-propagation=shared",
			"--mount", "target=/t,type=tmpfs,tmpfs-size=1m,tmpfs-mode=1770", "--tmpfs", "/s:size=50%,exec", "--tmpfs", "/u", "--shm-size", "128m",
			"--device", "/dev/null:/dev/other:r", "img"},
		"volumes": {"-v", "data:/v", "-v", "d.2-x_:/w:ro,nocopy,U,z,noexec", "-v", "/anon", "--mount", "dst=/m", "--volumes-from", "a", "--volumes-from=b:ro,z",
			"--mount", "type=volume,source=data,target=/n,readonly,volume-nocopy,volume-subpath=a/b,volume-label=k=v,volume-opt=type=tmpfs,\"volume-opt=o=size=1m,mode=700\"",
			"--mount", "src=data,dst=/o,volume-nocopy=false,chown,volume-driver=local,consistency=cached", "--image-volume", "tmpfs", "-v", dir + ":/b:U", "img"},
		"resources": {"-m", "512m", "--memory-swap", "1g", "--cpus", "1.5", "--cpu-shares", "512", "--cpuset-cpus", "0-1,3", "--pids-limit", "-1", "--memory-reservation", "256m",
			"--cpuset-mems", "0", "--blkio-weight", "300", "img"},
		"resources by period": {"--cpu-period", "50000", "--cpu-quota", "25000", "img"},
		"health": {"--restart", "on-failure:4", "--health-cmd", "test -e /x", "--health-interval", "1m30s", "--health-timeout", "2s", "--health-start-period=3s",
			"--health-start-interval", "4s", "--health-retries", "5", "--health-on-failure", "kill", "img"},
		"rootfs":             {"--rootfs", dir + ":O", "/bin/true"},
		"entrypoint dropped": {"--entrypoint", "", "img", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			ctr, err := parseRun(line...)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.MarshalIndent(ctr, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.ReplaceAll(name, " ", "-")+".json", strings.ReplaceAll(string(b), dir, "DIR")+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update rewrites it):\n%s", path, got)
	}
}

// TestParseCreateRefuses holds every error to naming the wrong value, and the golden file holds its words.
func TestParseCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no name\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 65)
	var out strings.Builder
	for _, c := range [][]string{ // the flags, and last what the error names
		{"-e", "=x", "=x"}, {"-e", "", `""`}, {"--env-file", "/no/such/file", "/no/such/file"}, {"--env-file", file, "no name"},
		{"-u", "-1", "-1"}, {"-u", "4294967296", "4294967296"}, {"-u", "", `""`}, {"-u", "a:", "a:"}, {"-w", "relative", "relative"}, {"--group-add", "-5", "-5"},
		{"--entrypoint", "[1]", "[1]"}, {"--ulimit", "flying=1", "flying=1"}, {"--ulimit", "nofile", "nofile"}, {"--sysctl", "net.x", "net.x"},
		{"--sysctl", "kernel.panic=1", "kernel.panic"}, {"--network=host", "--sysctl", "net.x=1", "net.x"}, {"--ipc=host", "--sysctl", "kernel.sem=1", "kernel.sem"},
		{"--oom-score-adj", "1001", "1001"},
		{"-v", "/no/such/source:/srv", "/no/such/source"}, {"-v", file + ":relative", "relative"}, {"-v", file + ":/srv/f:nonsense", "nonsense"},
		{"-v", file + ":/", "/"}, {"-v", "a:b:c:d", "a:b:c:d"}, {"-v", "da ta:/srv", "da ta"}, {"-v", "srv", "srv"},
		{"-v", file + ":/x:nocopy", "nocopy"}, {"-v", "data:/x:rslave", "rslave"}, {"-v", "data:/x:idmap", "idmap"}, {"-v", "data:/x:ro,rw", "ro and rw"},
		{"-v", ":/x", "SOURCE"}, {"-v", "data:", "TARGET"}, {"-v", "data:/x:sweet", "sweet"}, {"-v", "data:relative", "relative"},
		{"--mount", "type=volume,src=/tmp,dst=/f", "type=bind"}, {"--mount", "src=data", "dst"}, {"--mount", "src=data,dst=/f,volume-subpath=../up", "../up"},
		{"--mount", "dst=/f,volume-driver=nfs", "nfs"}, {"--mount", "dst=/f,volume-opt=x", "volume-opt"}, {"--mount", "dst=/f,volume-opt=speed=1", "speed"},
		{"--mount", "dst=/f,bind-propagation=shared", "bind-propagation"}, {"--mount", "dst=/f,volume-nocopy=perhaps", "perhaps"},
		{"--volumes-from", ":ro", "CONTAINER"}, {"--volumes-from", "c:rslave", "rslave"}, {"--volume-driver", "nfs", "nfs"}, {"--image-volume", "all", "all"},
		{"-v", file + ":/x", "--tmpfs", "/x", "/x"}, {"--tmpfs", "relative", "relative"}, {"--tmpfs", "/x:size=big", "big"}, {"--tmpfs", "/x:mode=999", "999"},
		{"--tmpfs", "/x:sweet", "sweet"}, {"--mount", "type=nonsense,src=" + file + ",dst=/f", "nonsense"}, {"--mount", "type=bind,src=" + file, "dst"},
		{"--mount", "type=bind,dst=/srv/f", "src"}, {"--mount", "type=bind,src=" + file + ",dst=/f,flavour=sweet", "flavour"},
		{"--mount", "type=bind,src=/no/such/source,dst=/srv/f", "/no/such/source"}, {"--mount", "src=a b,dst=/f", "a b"},
		{"--mount", "type=bind,src=" + file + ",dst=/f,ro=perhaps", "perhaps"}, {"--mount", "type=tmpfs,src=/a,dst=/f", "source"},
		{"--mount", "type=bind,src=" + file + ",dst=/f,bind-propagation=x", `"x"`}, {"--mount", `type="bind`, "type="},
		{"--shm-size", "big", "big"}, {"--shm-size", "0", "0"}, {"--ipc=host", "--shm-size=1m", "--shm-size"},
		{"--device", "/no/such/dev", "/no/such/dev"}, {"--device", file, file}, {"--device", "/dev/null:x", `"x"`}, {"--device", "vendor/gpu=all", "vendor/gpu"},
		{"--cap-add", "FLYING", "FLYING"}, {"--cap-drop", "FLYING", "FLYING"},
		{"--security-opt", "nonsense", "nonsense"}, {"--security-opt", "no-new-privileges=perhaps", "perhaps"}, {"--security-opt", "seccomp=/no/such/file", "/no/such/file"},
		{"--security-opt", "label=type:x", "label=type:x"}, {"--security-opt", "mask=relative", "relative"}, {"--security-opt", "systempaths=x", "systempaths=x"},
		{"--hostname", long, long}, {"--hostname", "a b", "a b"}, {"--uts=host", "--hostname=a", "--hostname"}, {"--pid", "nonsense", "nonsense"},
		{"--ipc", "container:a", "container:a"}, {"--uts", "ns:relative", "ns:relative"}, {"--cgroupns", "container:", "container:"},
		{"--network", "non/sense", "non/sense"}, {"--network", "", `""`}, {"--network", "ns:relative", "ns:relative"}, {"--network", "a:colour=red", "colour"},
		{"--network=host", "--network=a", "--network a"}, {"--network=a", "--network=a", `"a"`}, {"--network=host", "--ip", "10.0.0.5", "--ip"}, {"--network=a", "--network=b", "--ip=10.0.0.5", "--ip"},
		{"--network=a", "--ip", "10.0.0.500", "10.0.0.500"}, {"--network=a", "--ip6", "10.0.0.5", "10.0.0.5"}, {"--network=a", "--ip", "", "--ip"}, {"--network=a", "--mac-address", "01:00:00:00:00:00", "01:00"},
		{"--network=bridge", "--network-alias", "a", `"a"`}, {"--network=a", "--network-alias", "a b", "a b"},
		{"--add-host", "a", `"a"`}, {"--add-host", "a:b", "a:b"}, {"--network=container:a", "--add-host", "a:10.0.0.1", "--add-host"},
		{"--network=none", "-p", "80:80", "--publish"}, {"--network=none", "-P", "--publish"}, {"--network=ns:/n", "-p", "80", "--publish"}, {"--network=container:a", "--expose", "80", "--expose"},
		{"-p", "80/sctp", "80/sctp"}, {"-p", "a:80:80", `"a"`}, {"-p", "80-81:80-82", "80-81:80-82"}, {"--network=bridge", "-p", "80:80", "-p", "80:81", "80/tcp"}, {"--expose", "x", `"x"`},
		{"--dns", "a", `"a"`}, {"--dns", "none", "--dns", "192.0.2.1", "none"}, {"--dns", "none", "--dns-search", "a", "--dns-search"}, {"--dns-search", "a b", "a b"}, {"--dns-option", "a b", "a b"}, {"--no-hosts", "--add-host", "a:10.0.0.1", "--no-hosts"},
		{"--link", ":", `":"`}, {"--network=host", "--link", "a", "--link"}, {"--egress", "some", "some"}, {"--egress", "allow", "--egress-allow", "a", "--egress-allow"}, {"--egress-allow", "a:x", "a:x"},
		{"--network=none", "--egress", "deny", "--egress"}, {"--network=slirp4netns:colour=red", "colour"}, {"--network=pasta:", "pasta"},
		{"-m", "5m", "5m"}, {"-m", "big", "big"}, {"--memory-swap", "1g", "--memory"}, {"-m", "2g", "--memory-swap", "1g", "1g"}, {"--cpus", "many", "many"},
		{"--cpus", "-1", "-1"}, {"--cpus", "NaN", "NaN"}, {"--cpu-shares", "1", `"1"`}, {"--cpuset-cpus", "0-", "0-"}, {"--cpuset-mems", "x", `"x"`}, {"--cpu-period", "999", "999"}, {"--cpu-quota", "999", "999"}, {"--cpus", "1", "--cpu-quota", "5000", "--cpus"},
		{"-m", "64m", "--memory-reservation", "65m", "65MiB"}, {"--memory-reservation", "some", "some"}, {"--pids-limit", "-2", "-2"}, {"--blkio-weight", "9", `"9"`}, {"--blkio-weight", "1001", "1001"},
		{"--name", "", `""`}, {"--pull", "nonsense", "nonsense"}, {"--platform", "a/b/c/d/e", "a/b/c/d/e"}, {"--platform", "windows/amd64", "windows"},
		{"--cidfile", file, file}, {"-l", "=x", "=x"}, {"--label-file", "/no/such/file", "/no/such/file"}, {"--annotation", "novalue", "novalue"},
		{"--restart", "sometimes", "sometimes"}, {"--restart", "always:2", "always:2"}, {"--restart", "on-failure:x", `"x"`}, {"--rm", "--restart", "always", "--restart"},
		{"--health-cmd", "", `""`}, {"--health-cmd", "[]", "[]"}, {"--health-cmd", "true", "--no-healthcheck", "--health-cmd"}, {"--health-tcp", "0", `"0"`},
		{"--health-cmd", "true", "--health-tcp", "80", "--health-tcp"}, {"--health-tcp", "db.example:80", "db.example"}, {"--health-http", "https://localhost/", "https://localhost/"},
		{"--health-http", "localhost/a b", "a b"}, {"--health-interval", "1", `"1"`}, {"--health-timeout", "-1s", "-1s"}, {"--health-retries", "-1", "-1"},
		{"--health-on-failure", "explode", "explode"}, {"--rm", "--health-cmd=true", "--health-on-failure", "restart", "--rm"},
		{"--stop-signal", "NOSUCH", "NOSUCH"}, {"--stop-timeout", "-2", "--stop-timeout"}, {"--stop-timeout", "x", "x"},
		{"--log-driver", "syslog", "syslog"}, {"--log-opt", "max-size", "max-size"}, {"--log-opt", "max-file=0", "max-file=0"}, {"--log-opt", "tag=x", "tag=x"},
		{"--log-opt", "max-file=3", "max-size"}, {"--log-driver=json-file", "--log-opt", "tag={{.Nonsense}}", "Nonsense"},
		{"--log-driver=json-file", "--log-opt", "labels-regex=(", "labels-regex"}, {"--log-opt", "max-size=-5", "max-size"},
		{"--log-opt", "compress=true", "max-size"}, {"--log-opt", "compress=perhaps", "perhaps"},
		{"--log-opt", "mode=sometimes", "sometimes"}, {"--log-opt", "max-buffer-size=1m", "mode=non-blocking"},
		{"--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=1k", "4k"}, {"--log-driver=none", "--log-opt", "mode=blocking", "mode"},
		{"--log-driver=none", "--log-opt", "max-size=1m", "max-size"}, {"--log-driver=passthrough", "-t", "--tty"}, {"--no-such-flag", "no-such-flag"},
		{"--rootfs", "--", "/no/such/dir", "/no/such/dir"},
	} {
		flags, names := c[:len(c)-1], c[len(c)-1]
		line := flags
		if !slices.Contains(flags, "--rootfs") {
			line = append(slices.Clone(flags), "img")
		}
		_, err := parseRun(line...)
		if err == nil || !strings.Contains(err.Error(), names) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line that names %s", flags, err, names)
			continue
		}
		out.WriteString(strings.ReplaceAll(strings.Join(flags, " ")+"\n\t"+err.Error()+"\n", dir, "DIR"))
	}
	for _, line := range [][]string{{}, {""}, {"--rootfs"}} {
		if _, err := parseRun(line...); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
	golden(t, "errors.txt", out.String())
}

func TestNearest(t *testing.T) {
	names := []string{"run", "rm", "rmi", "stop", "start", "ps"}
	for word, want := range map[string]string{"stpo": "stop", "strat": "start", "rnu": "run", "frobnicate": "", "x": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
