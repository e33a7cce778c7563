package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// TestNetworkEgressRoot: for root the gateway is the host itself, whose services are outside as well. The names of the
// host are the way to let them in.
func TestNetworkEgressRoot(t *testing.T) {
	harness.Requires(t, "root", "ip", "nft", "unshare")
	file := archive(t, env, "root.tar", baseImage(t).DockerArchive(image))
	script := fmt.Sprintf(`set -e
for d in /run/proa /var/lib/proa /var/lib/containers /run/netns; do mkdir -p $d; mount -t tmpfs none $d; done
mkdir -p /etc/containers/networks; mount -t tmpfs none /etc/containers/networks
ip link set lo up
ip netns add outside
ip link add host type veth peer name out netns outside
ip addr add 203.0.113.1/24 dev host; ip link set host up
ip -n outside addr add 203.0.113.2/24 dev out; ip -n outside link set out up; ip -n outside link set lo up
PATH=%s:$PATH
proa load -q -i %s
before=$(nft list ruleset)
for port in 7001 7002; do (ip netns exec outside sh -c "while :; do echo out$port | timeout 100 busybox nc -l -p $port; done") & done
(while :; do echo host7003 | timeout 100 busybox nc -l -p 7003; done) &
trap 'kill $(jobs -p)' EXIT
sleep 0.5
try='for to in "203.0.113.2 7001" "203.0.113.2 7002" "host.docker.internal 7003"; do nc -w 2 $to </dev/null; done; true'
echo "free: "$(proa run --rm %[3]s sh -c "$try")
echo "box: "$(proa run --rm --egress-allow 203.0.113.2:7001 %[3]s sh -c "$try")
echo "guest: "$(proa run --rm --egress-allow host.docker.internal:7003 %[3]s sh -c "$try")
for i in $(seq 100); do [ "$before" = "$(nft list ruleset)" ] && break; sleep 0.1; done
[ "$before" = "$(nft list ruleset)" ] && echo clean
umount -l /run/netns`, filepath.Join(env.Prefix, "bin"), file, image)
	r := env.RootCommand("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--propagation", "private", "bash", "-c", script).OK(t)
	for _, want := range []string{"free: out7001 out7002 host7003\n", "box: out7001\n", "guest: host7003\n", "clean"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q is not in %q: %s", want, r.Stdout, r.Stderr)
		}
	}
}
