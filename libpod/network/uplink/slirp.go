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

// slirp runs slirp4netns, a TCP of its own in user space.
type slirp struct{}

func (slirp) name() string { return Slirp }

var slirpVersion = regexp.MustCompile(`slirp4netns version (\S+)`)

// needed are the options that command gives, all there since 1.1.0 of 2020.
var needed = []string{"--netns-type", "--cidr", "--enable-ipv6", "--disable-host-loopback", "--disable-dns", "--enable-seccomp"}

func (slirp) look(ctx context.Context) (string, error) {
	path, err := exec.LookPath("slirp4netns")
	if err != nil {
		return "", errors.New("slirp4netns is not installed")
	}
	told, _ := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	version := ""
	if m := slirpVersion.FindStringSubmatch(string(told)); m != nil {
		version = m[1]
	}
	help, _ := exec.CommandContext(ctx, path, "--help").CombinedOutput()
	for _, option := range needed {
		if !strings.Contains(string(help), option) {
			return version, fmt.Errorf("%s has no option %s; update the package slirp4netns to 1.1.0 or later", path, option)
		}
	}
	return version, tun()
}

func (slirp) command(ns Namespace, o Options, l link) (*exec.Cmd, error) {
	args := []string{"--netns-type=path", "--mtu=" + strconv.Itoa(l.mtu), "--cidr=" + l.addresses[0].Masked().String(),
		"--enable-ipv6", "--disable-dns", "--enable-seccomp"}
	if !o.HostLoopback {
		args = append(args, "--disable-host-loopback")
	}
	return exec.Command("slirp4netns", append(args, ns.Path, Interface)...), nil
}
