// Package main is proa-init, the only program of proa that runs inside containers: the init of a container and
// of each further process in it, its reaper, and the small resident processes. It is linked without cgo, kept
// small, embedded into proa and run from a sealed memfd, so that no container can overwrite it.
package main

import (
	"fmt"
	"os"

	"github.com/proa-containers/proa/libpod/rootless/pause"
	"github.com/proa-containers/proa/oci/hello"
	"github.com/proa-containers/proa/oci/monitor/serve"
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
	case "exec-joined":
		os.Exit(perform.ExecJoined(os.Args[2:]))
	case "reap":
		os.Exit(perform.Reap(os.Args[2:]))
	case "reap-session":
		os.Exit(perform.ReapSession(os.Args[2:]))
	case "reap-command":
		os.Exit(perform.ReapCommand(os.Args[2:]))
	case "hello":
		os.Exit(status("hello", hello.Run(os.Stdout)))
	case "monitor":
		os.Exit(status("proa-monitor", serve.Run()))
	case "pack-logs":
		os.Exit(status("pack-logs", serve.PackLogs(os.Args[2:])))
	case "pause":
		if len(os.Args) == 3 {
			os.Exit(status("proa-pause", pause.Run(os.Args[2])))
		}
		fallthrough
	default:
		fmt.Fprintln(os.Stderr, "proa-init: this program is started by proa, not by hand")
		os.Exit(125)
	}
}

// status is the exit status for err, which is said on standard error.
func status(name string, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, name+":", err)
	return 125
}
