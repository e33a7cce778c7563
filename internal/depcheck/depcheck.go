// Package depcheck owns the rules about who may import whom: the table of edges between the project's own packages and
// the list of modules a program must not reach. Its tests run the rules against the whole repository. It runs in the
// tests only, as the developer.
package depcheck

import (
	"slices"
	"strings"
)

// Module is the path of this module.
const Module = "github.com/proa-containers/proa"

// Layer is a part of the tree and what it may import of the rest of it. Names are paths below the module; one stands
// for itself and everything below it. The layer that names a package best (the longest path) counts.
type Layer struct {
	Path   string
	May    []string
	Reason string // why no more
}

// Layers is the import table: cmd -> libpod -> {image -> storage, oci}.
var layers = []Layer{
	{"cmd/proa", []string{"libpod", "image", "storage", "oci", "internal/argv", "internal/manual", "internal/outfile"}, "the command line may use every package below it"},
	{"cmd/proa-image", []string{"libpod", "image", "storage", "oci", "internal/argv", "internal/manual", "internal/outfile"}, "the command line of what links image transport"},
	{"cmd/proa-build", []string{"build", "libpod", "image", "storage", "oci", "internal/argv", "internal/manual"}, "the command line of what links BuildKit"},
	{"cmd/proa-netd", []string{"libpod/network", "oci/monitor"}, "the holder of networks knows no engine and no store"},
	{"cmd/proa-runtime", []string{"libpod/initbin", "libpod/rootless", "oci", "internal/argv", "internal/manual"}, "the OCI runtime knows no engine and no store"},
	{"cmd/proa-init", []string{"oci", "libpod/rootless/pause"}, "init stays tiny: what performs a plan, monitors it, or pauses"},
	{"libpod", []string{"image", "storage", "oci"}, "the engine knows no command line and no terminal output"},
	{"libpod/initbin", nil, "holds bytes"},
	{"build", []string{"libpod/rootless", "libpod/tree", "image", "storage", "oci", "internal/outfile"}, "a build knows layers and images, and no containers"},
	{"build/frontend", []string{"build", "libpod/tree"}, "the frontend knows a solver of LLB, and not which"},
	{"build/edit", []string{"libpod/tree", "storage"}, "file actions know trees, and neither graphs nor images"},
	{"build/sandbox", []string{"libpod/rootless", "libpod/tree", "oci"}, "what runs a command knows neither layers nor LLB"},
	{"libpod/network", []string{"oci/launch", "oci/monitor"}, "networks know no engine: a container is a namespace and the processes that keep it"},
	{"libpod/network/resolver", nil, "the name server is told what to serve"},
	{"libpod/network/egress", []string{"libpod/network"}, "policies know addresses and rules, the name server and the kernel ask them"},
	{"libpod/network/egress/nft", []string{"libpod/network", "internal/netlab"}, "knows policies; its tests run in the lab"},
	{"libpod/network/port", []string{"libpod/network", "internal/netlab"}, "knows ports and addresses; its tests run in the lab"},
	{"libpod/network/uplink", []string{"libpod/network", "internal/netlab"}, "knows namespaces and interfaces; its tests run in the lab"},
	{"image", []string{"storage"}, "images know neither containers nor the engine"},
	{"storage", nil, "wraps containers/storage and knows nothing above it"},
	{"oci", []string{"libpod/initbin", "storage/overlay"}, "the runtime works from a bundle alone, the init that initbin holds and a mount's parameters"},
	{"internal", nil, "rules and their tests"},
	{"internal/netlab", nil, "networks for tests alone"},
	{"internal/argv", nil, "the command line's words alone"},
	{"internal/outfile", nil, "files alone"},
	{"internal/manual", nil, "the command tree alone"},
	{"tests", nil, "end-to-end tests drive built binaries and may not call what they test"},
	{"hack", []string{"build", "cmd", "libpod", "image", "storage", "oci", "internal/manual"}, "developers' programs"},
}

// Ban is an import, direct or not, that a program must not have.
type Ban struct {
	Program string
	Import  string // this path and everything below it; a trailing "$" means this path only
	Reason  string
}

// Bans keep the hot path small: every package linked costs start-up time at each command.
var bans = []Ban{
	{"cmd/proa", "go.podman.io/image", "image transport costs 4 ms at each start; it belongs to proa-image"},
	{"cmd/proa", "github.com/containers/image", "image transport belongs to proa-image"},
	{"cmd/proa", "github.com/moby/buildkit", "building belongs to proa-build"},
	{"cmd/proa", Module + "/build", "building belongs to proa-build"},
	{"cmd/proa-image", "github.com/moby/buildkit", "building costs 10 ms at each start; it belongs to proa-build"},
	{"cmd/proa", "google.golang.org/grpc", "no engine of one process speaks gRPC"},
	{"cmd/proa", "go.opentelemetry.io", "no telemetry"},
	{"cmd/proa", "github.com/russross/blackfriday", "1 ms at each start; the tag urfave_cli_no_docs drops it"},
	{"cmd/proa", "github.com/vishvananda/netlink", "what the kernel has of networks is made by proa-netd"},
	{"cmd/proa", "github.com/google/nftables", "what the kernel has of networks is made by proa-netd"},
	{"cmd/proa", Module + "/libpod/network/link", "what the kernel has of networks is made by proa-netd"},
	{"cmd/proa-netd", "github.com/urfave/cli", "netd has no command line"},
	{"cmd/proa-netd", "go.podman.io/storage", "netd knows no images"},
	{"cmd/proa-netd", Module + "/libpod$", "netd knows no engine"},
	{"cmd/proa", "github.com/miekg/dns", "names are served by proa-netd"},
	{"cmd/proa", "github.com/vishvananda/netlink", "interfaces belong to proa-netd"},
	{"cmd/proa", "github.com/google/nftables", "filters belong to proa-netd"},
	{"cmd/proa", "gvisor.dev/gvisor", "the embedded uplink belongs to proa-netd"},
	{"cmd/proa-runtime", "go.podman.io/storage", "the store costs a millisecond at each start, and a bundle has its root"},
	{"cmd/proa-runtime", Module + "/libpod$", "the runtime knows no engine"},
	{"cmd/proa-init", "net$", "init has no business on the network, and net doubles its size"},
	{"cmd/proa-init", "net/http", "init has no business on the network"},
	{"cmd/proa-init", "os/user", "users are looked up in the plan"},
	{"cmd/proa-init", "github.com/urfave/cli", "init has no command line"},
	{"cmd/proa-init", "go.podman.io/storage", "mounts are made in the plan"},
	{"cmd/proa-init", "go.etcd.io/bbolt", "state belongs to the engine"},
	{"cmd/proa-init", Module + "/libpod$", "init knows no engine"},
	{"cmd/proa-init", Module + "/libpod/state", "init knows no engine"},
	{"cmd/proa-init", Module + "/storage$", "the store belongs to the engine"},
}

func within(pkg, path string) bool {
	if exact, ok := strings.CutSuffix(path, "$"); ok {
		return pkg == exact
	}
	return pkg == path || strings.HasPrefix(pkg, path+"/")
}

// layerOf is the layer that names pkg best.
func layerOf(pkg string) (Layer, bool) {
	var best Layer
	found := false
	for _, l := range layers {
		if within(pkg, l.Path) && (!found || len(l.Path) > len(best.Path)) {
			best, found = l, true
		}
	}
	return best, found
}

// allowed tells whether from may import to; both are paths below the module.
func allowed(from, to string) (bool, Layer) {
	l, ok := layerOf(from)
	if !ok {
		return false, Layer{Path: from, Reason: "its part of the tree is not in the table of internal/depcheck"}
	}
	if within(to, l.Path) {
		return true, l
	}
	return slices.ContainsFunc(l.May, func(p string) bool { return within(to, p) }), l
}

// chain is the shortest import path from root to a package that bad accepts, nil when there is none.
func chain(imports map[string][]string, root string, bad func(string) bool) []string {
	prev := map[string]string{root: ""}
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != root && bad(at) {
			var path []string
			for p := at; p != ""; p = prev[p] {
				path = append([]string{p}, path...)
			}
			return path
		}
		for _, next := range imports[at] {
			if _, seen := prev[next]; !seen {
				prev[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}
