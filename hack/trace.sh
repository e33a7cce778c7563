#!/bin/bash
# trace.sh [RUNS]: where the time of `proa run --rm --network=none IMAGE true` goes, phase by phase, the median of RUNS
# (default 15) traced runs. As root, with Debian's linux-perf: it listens to a few system calls of the whole machine, which
# slows them: the phases add up to more than a run takes (25 ms for 18 here), their shares are what to read.
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "trace: $*" >&2; exit 1; }

img=localhost/bench/busybox:latest
if [[ ${1:-} = --inside ]]; then
    export PATH=$2/bin:$PATH
    proa load -q -i "$2/img.tar" >/dev/null
    for ((i = 0; i < 3; i++)); do proa run --rm --network=none $img true >/dev/null; done # caches, pause process, cgroup
    for ((i = 0; i < $3; i++)); do proa run --rm --network=none $img true >/dev/null; sleep 0.05; done
    exit 0
fi

runs=${1:-15}
[[ $(id -u) = 0 ]] || die "must be root, to trace"
command -v perf >/dev/null || die "perf is missing; run: apt-get install linux-perf"
[[ -x bin/proa ]] || die "bin/proa is missing; run 'make build'"
user=proa-bench
id $user >/dev/null 2>&1 || useradd -m $user
work=$(mktemp -d /tmp/proa-trace-XXXXXX)
trap 'hack/bench-end.sh $user "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/bin" "$work/libexec/proa" "$work/hack"
cp bin/proa "$work/bin/"; cp bin/proa-image "$work/libexec/proa/"; cp hack/trace.sh "$work/hack/"

# The image: busybox alone.
mkdir -p "$work/root/bin" "$work/img"
cp "$(command -v busybox)" "$work/root/bin/busybox"; ln -s busybox "$work/root/bin/true"
tar -C "$work/root" -cf "$work/img/layer.tar" .
printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')" "$(sha256sum < "$work/img/layer.tar" | cut -d' ' -f1)" > "$work/img/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' $img > "$work/img/manifest.json"
tar -C "$work/img" -cf "$work/img.tar" .
chown -R $user "$work"
perf trace -a -e execve,exit_group,clone3,setns,flock,fsopen,sendmsg,recvmsg,seccomp,renameat \
    -o "$work/calls" -- hack/booted.sh $user "$work/hack/trace.sh" --inside "$work" "$runs" >/dev/null
hack/trace.py "$work/calls" "$runs"
