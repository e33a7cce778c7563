// Package main is proa-netd: it holds the networks of one user while containers use them. proa starts it when there is
// none, as root of its user namespace, with a socket on which it says that it listens; it ends by itself. It is no
// command for users.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/network/netd/serve"
	"github.com/proa-containers/proa/libpod/network/uplink/gvisor"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// uplinkWord makes this program the uplink that needs nothing installed, a process of its own.
const uplinkWord = "uplink"

func main() {
	if len(os.Args) > 1 && os.Args[1] == uplinkWord {
		if err := gvisor.Main(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "proa-netd uplink:", err)
			os.Exit(1)
		}
		return
	}
	dir := flag.String("dir", "", "netd's `DIRECTORY`")
	rootless := flag.Bool("rootless", false, "keep the networks in a network namespace of their own")
	flag.Parse()
	if err := run(*dir, *rootless); err != nil {
		fmt.Fprintln(os.Stderr, "proa-netd:", err)
		os.Exit(1)
	}
}

func run(dir string, rootless bool) error {
	if _, err := unix.FcntlInt(netd.FDReady, unix.F_GETFD, 0); dir == "" || err != nil {
		return fmt.Errorf("proa starts this program when a container needs it; there is nothing to call it for")
	}
	unix.CloseOnExec(netd.FDReady)
	ready, err := monitor.NewConn(netd.FDReady)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	o := serve.Options{Dir: dir, Rootless: rootless, Log: log, Uplink: []string{"/proc/self/exe", uplinkWord}}
	return serve.Run(ctx, o, ready)
}
