package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// TestNetworkRoot: root's bridges are in the host's own network namespace, here one made for the test with an outside
// behind a router's address, and nothing of them is left there.
func TestNetworkRoot(t *testing.T) {
	harness.Requires(t, "root", "ip", "nft", "unshare")
	file := archive(t, env, "root.tar", baseImage(t).DockerArchive(image))
	script := fmt.Sprintf(`set -e
for d in /run/proa /var/lib/proa /var/lib/containers /run/netns; do mkdir -p $d; mount -t tmpfs none $d; done
mkdir -p /etc/containers/networks; mount -t tmpfs none /etc/containers/networks
ip link set lo up
ip netns add outside
ip link add host type veth peer name out netns outside
ip addr add 203.0.113.1/24 dev host; ip link set host up
ip -n outside addr add 203.0.113.2/24 dev out; ip -n outside link set out up
PATH=%s:$PATH
proa load -q -i %s
trap 'proa rm -f -t 0 a b >/dev/null 2>&1' EXIT
before=$(ip -br link; nft list ruleset)
proa run -d --name a %[3]s sh -c 'while :; do echo hello | nc -l -p 7000; done' >/dev/null
ip=$(proa inspect -f '{{.NetworkSettings.IPAddress}}' a)
echo "neighbour $(proa run --rm %[3]s sh -c "for i in 1 2 3 4 5 6 7 8 9; do nc -w 1 $ip 7000 </dev/null && exit; usleep 100000; done")"
echo "host $(busybox nc -w 1 $ip 7000 </dev/null | cat)"
(ip netns exec outside sh -c 'echo outside | busybox nc -l -p 7001') & sleep 0.3
echo "out $(proa run --rm %[3]s nc -w 2 203.0.113.2 7001 </dev/null)"
proa run -d --name b -p 8080:7000 %[3]s sh -c 'while :; do echo published | nc -l -p 7000; done' >/dev/null
echo "published $(ip netns exec outside sh -c 'for i in 1 2 3 4 5 6 7 8 9; do busybox nc -w 1 203.0.113.1 8080 </dev/null | grep . && exit; usleep 100000; done')"
kill -9 $(proa-pid)
proa ps >/dev/null
proa network create other >/dev/null; proa run --rm --network other %[3]s true
kill -9 $(proa-pid)
proa ps >/dev/null
proa network rm other >/dev/null
echo "again $(ip netns exec outside sh -c 'for i in 1 2 3 4 5 6 7 8 9; do busybox nc -w 1 203.0.113.1 8080 </dev/null | grep . && exit; usleep 100000; done')"
proa rm -f -t 0 a b >/dev/null
proa network create --interface-name podman77 theirs >/dev/null; ip link add podman77 type bridge
proa run --rm --network theirs %[3]s true 2>&1 | grep 'another program' || true
ip link del podman77; proa network rm theirs >/dev/null
for i in $(seq 100); do proa-pid >/dev/null || break; sleep 0.1; done
after=$(ip -br link; nft list ruleset)
[ "$before" = "$after" ] || { echo "left behind: $after" >&2; exit 1; }
ip rule show | grep -v 'lookup \(local\|main\|default\)' >&2 && exit 1
umount -l /run/netns
echo clean`, filepath.Join(env.Prefix, "bin"), file, image)
	// The tool finds netd by its arguments: /run/proa is the test's own.
	tool := `proa-pid() { for p in /proc/[0-9]*; do tr '\0' ' ' 2>/dev/null < $p/cmdline | grep -q '^[^ ]*proa-netd --dir /run/proa/netd' && [ "$(readlink $p/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] && { echo ${p#/proc/}; return 0; }; done; return 1; }
`
	r := env.RootCommand("unshare", "--mount", "--net", "--propagation", "private", "bash", "-c", tool+script).OK(t)
	for _, want := range []string{"neighbour hello", "host hello", "out outside", "published published", "again published", "podman77", "clean"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q is not in %q: %s", want, r.Stdout, r.Stderr)
		}
	}
}
