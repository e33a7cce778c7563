package uplink

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// pasta forwards single connections between sockets, the least work of the three.
type pasta struct{}

func (pasta) name() string { return Pasta }

var pastaVersion = regexp.MustCompile(`\d{4}_\d\d_\d\d\.[0-9a-f]+`)

// look takes --map-host-loopback, of August 2024, as the sign of one that is recent enough; distributions' builds don't
// always tell a version. That of March 2023, which Debian 12 has, was seen to deliver data twice and to leave connections
// that are refused without an answer, and binds what goes out to the interface that had the default route when it started.
func (pasta) look(ctx context.Context) (string, error) {
	path, err := exec.LookPath("pasta")
	if err != nil {
		return "", errors.New("pasta is not installed; the package is called passt")
	}
	told, _ := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	version := pastaVersion.FindString(string(told))
	help, _ := exec.CommandContext(ctx, path, "--help").CombinedOutput()
	if !strings.Contains(string(help), "--map-host-loopback") {
		return version, fmt.Errorf("%s is older than August 2024, when it still damaged connections; update the package passt", path)
	}
	return version, nil
}

func (pasta) command(ns Namespace, o Options, l link) (*exec.Cmd, error) {
	args := []string{
		"--foreground", "--quiet",
		"--netns", ns.Path, "--no-netns-quit", // it ends with us
		"--ns-ifname", Interface, "--mtu", strconv.Itoa(l.mtu), "--netmask", strconv.Itoa(l.addresses[0].Bits()),
		"--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
		"--no-dhcp", "--no-dhcpv6", "--no-ra",
	}
	for i, a := range l.addresses {
		args = append(args, "--address", a.Addr().String(), "--gateway", l.gateways[i].String())
	}
	if !o.HostLoopback {
		args = append(args, "--no-map-gw")
	}
	return exec.Command("pasta", args...), nil
}
