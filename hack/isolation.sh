#!/bin/bash
# isolation.sh USER OUT: what isolates a default container of proa, podman (both as USER, without root) and docker (as
# root), as hack/isolation/probe.c sees it from inside; with and without their seccomp profiles. Writes a file for each
# to the directory OUT. docs/security.md is written from them. Run it as root, with gcc, podman and dockerd installed.
set -euo pipefail
user=$1 out=$(realpath -m "$2") here=$(cd "$(dirname "$0")" && pwd) bin=$(cd "$(dirname "$0")/../bin" && pwd)
mkdir -p "$out"
work=$(mktemp -d)
docker="docker -H unix://$work/docker.sock"
stop() { [ -z "${daemon:-}" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true; rm -rf "$work" 2>/dev/null || true; }
trap stop EXIT
mkdir -p "$work/rootfs"/{bin,dev,proc,sys,etc,tmp}
gcc -O1 -Wall -static -o "$work/rootfs/bin/probe" "$here/isolation/probe.c"
chmod 755 "$work" "$work/rootfs"
as() { "$here/booted.sh" "$user" "$@"; } # podman needs cgroup v2 alone
run() { # run NAME COMMAND...: the probe's answers go to NAME.txt
    local name=$1
    shift
    if "$@" >"$out/$name.txt" 2>"$out/$name.err" </dev/null; then echo "$name: $(wc -l <"$out/$name.txt") answers"; else echo "$name: $(tail -n 1 "$out/$name.err")"; fi
}
cd /
# Each with a copy of its own that it may write to: their user is root inside.
for engine in proa podman; do cp -r "$work/rootfs" "$work/$engine" && chown -R "$user" "$work/$engine"; done
for profile in default unconfined; do
    opt=(); [ $profile = default ] || opt=(--security-opt seccomp=unconfined)
    run proa-$profile as "$bin/proa" run --rm --network none "${opt[@]}" --rootfs "$work/proa" /bin/probe every-call
    run podman-$profile as podman run --rm --network none "${opt[@]}" --rootfs "$work/podman" /bin/probe every-call
done
# A daemon of our own beside any that runs: its own directories and namespaces, no bridge, no packet filter.
unshare --mount --net --propagation private dockerd --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" \
    -H "unix://$work/docker.sock" --iptables=false --ip6tables=false --bridge=none -s vfs >"$out/dockerd.log" 2>&1 &
daemon=$!
for _ in $(seq 100); do $docker info >/dev/null 2>&1 && break; kill -0 $daemon 2>/dev/null || break; sleep 0.2; done
tar -C "$work/rootfs" -c . | $docker import - probe >/dev/null
for profile in default unconfined; do
    opt=(); [ $profile = default ] || opt=(--security-opt seccomp=unconfined)
    run docker-$profile $docker run --rm --network none "${opt[@]}" probe /bin/probe every-call
done
