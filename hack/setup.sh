#!/bin/bash
# setup.sh [--tests]: installs what building and running proa needs and is not there yet; with --tests also what the
# end-to-end tests and benchmarks compare with. Debian, Ubuntu (apt-get) and Fedora (dnf). As root, or through sudo.
# Run again, it finds everything present and does nothing.
set -euo pipefail

tests=0
case ${1:-} in
    '') ;;
    --tests) tests=1 ;;
    *) echo "usage: hack/setup.sh [--tests]" >&2; exit 2 ;;
esac
GO=${GO:-go}
die() { echo "setup: $*" >&2; exit 1; }

if command -v apt-get >/dev/null; then
    family=debian
    pkgs="gcc libc6-dev libseccomp-dev pkg-config make uidmap"
    extra="busybox-static docker-registry skopeo podman crun runc buildah hyperfine attr jq strace passt procps util-linux iproute2 nftables slirp4netns iperf3 socat bind9-dnsutils curl fuse-overlayfs groff-base zsh fish"
    have() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) = installed ]]; }
elif command -v dnf >/dev/null; then
    family=fedora
    pkgs="gcc glibc-static libseccomp-devel libseccomp-static pkgconf-pkg-config make shadow-utils-subid"
    extra="busybox docker-distribution skopeo podman crun runc buildah hyperfine attr jq strace passt procps-ng util-linux iproute nftables slirp4netns iperf3 socat bind-utils curl fuse-overlayfs groff-base zsh fish"
    have() { rpm -q --quiet "$1"; }
else
    die "neither apt-get nor dnf is here; install gcc, the libseccomp headers with the static library, pkg-config, make and newuidmap/newgidmap with your package manager, then run 'make build'"
fi
[[ $tests = 0 ]] || pkgs="$pkgs $extra"

missing=()
for p in $pkgs; do have "$p" || missing+=("$p"); done

if [[ ${#missing[@]} -gt 0 ]]; then
    as_root=()
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || die "these packages are missing and there is no sudo; as root, install: ${missing[*]}"
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    log=$(mktemp); trap 'rm -f "$log"' EXIT
    if [[ $family = debian ]]; then
        install() {
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}"
        }
    else
        install() { "${as_root[@]}" dnf -q -y install "${missing[@]}"; }
    fi
    install >"$log" 2>&1 || { cat "$log" >&2; die "the packages could not be installed; mend what the lines above name, then run this again"; }
fi

# What udev does on a booted machine: containers' way out needs the device.
if [[ $tests = 1 && -c /dev/net/tun && $(stat -c %a /dev/net/tun) != 666 ]]; then
    if [[ $(id -u) = 0 ]]; then chmod 0666 /dev/net/tun; else sudo chmod 0666 /dev/net/tun; fi
fi

if ! command -v "$GO" >/dev/null; then
    if [[ $family = debian ]]; then
        die "Go is missing; get it with: curl -fsSL https://go.dev/dl/go1.26.0.linux-$(dpkg --print-architecture).tar.gz | sudo tar -C /usr/local -xz && export PATH=\$PATH:/usr/local/go/bin"
    fi
    die "Go is missing; get it with: sudo dnf install golang"
fi
minor=$(GOTOOLCHAIN=local "$GO" env GOVERSION | sed -nE 's/^go1\.([0-9]+).*/\1/p')
[[ ${minor:-0} -ge 21 ]] || die "Go 1.26 is needed and $(GOTOOLCHAIN=local "$GO" env GOVERSION) is installed; get one from https://go.dev/dl/"
