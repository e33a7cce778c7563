// Package main is proa-init, the only program of proa that runs inside containers: the init of a container and
// of each further process in it, its reaper, and the small resident processes. It is linked without cgo, kept
// small, embedded into proa and run from a sealed memfd, so that no container can overwrite it.
package main

import (
	"fmt"
	"os"

	"github.com/proa-containers/proa/oci/perform"
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "init":
		os.Exit(perform.Init(os.Args[2:]))
	case "exec":
		os.Exit(perform.Exec(os.Args[2:]))
	case "reap":
		os.Exit(perform.Reap(os.Args[2:]))
	default:
		fmt.Fprintln(os.Stderr, "proa-init: this program is started by proa, not by hand")
		os.Exit(125)
	}
}
