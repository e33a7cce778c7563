#!/bin/bash
# bench.sh: measures proa beside podman with crun, skopeo and docker, as an unprivileged user, whole processes, runs
# interleaved; prints one table of medians and writes bench.json. Run by `make bench`; as root it makes a user and a
# session with cgroup v2 for it, otherwise it runs as whoever calls it. ROUNDS (default 15) is the number of rounds, PARTS
# which of hack/bench/*.sh are run (default: all).
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "bench: $*" >&2; exit 1; }

if [[ ${1:-} != --inside ]]; then
    out=$PWD/bench.json
    work=$(mktemp -d /tmp/proa-bench-XXXXXX); chmod 755 "$work"
    mkdir -p "$work/bin" "$work/libexec/proa" "$work/hack"
    cp bin/proa bin/proa-runtime "$work/bin/"; cp bin/proa-image bin/proa-build bin/proa-netd "$work/libexec/proa/"
    cp -r hack/bench.sh hack/bench "$work/hack/"
    version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
    if [[ $(id -u) = 0 ]]; then
        user=proa-bench
        id $user >/dev/null 2>&1 || useradd -m $user
        chown -R $user "$work"
        # Without a configuration, podman may choose the vfs driver, which copies the image for each container.
        conf=$(getent passwd $user | cut -d: -f6)/.config/containers
        install -d -o $user "${conf%/*}" "$conf"
        printf '[storage]\ndriver = "overlay"\n' > "$conf/storage.conf"
        # The session has its own /sys/fs/cgroup; the user goes away with everything that ran in it.
        trap 'hack/bench-end.sh $user "$work"' EXIT
        rc=0; hack/booted.sh $user env ROUNDS="${ROUNDS:-15}" PARTS="${PARTS:-}" VERSION="$version" "$work/hack/bench.sh" --inside "$work" || rc=$?
    else
        trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
        rc=0; VERSION=$version "$work/hack/bench.sh" --inside "$work" || rc=$?
    fi
    [[ ! -e $work/bench.json ]] || cp "$work/bench.json" "$out"
    exit $rc
fi

work=$2 rounds=${ROUNDS:-15}
export PATH=$work/bin:$PATH
failed=0
img=localhost/bench/busybox:latest
results=$work/results; : > "$results"

podman() { command podman --runtime crun --cgroup-manager=cgroupfs --events-backend=file "$@"; }
pflags="--runtime crun --cgroup-manager=cgroupfs --events-backend=file"
for tool in podman crun skopeo hyperfine jq busybox; do command -v $tool >/dev/null || die "$tool is missing; 'make test-setup' installs it"; done

# The image: busybox alone, made here so that nothing has to be fetched.
root=$work/root; mkdir -p "$root/bin" "$root/etc" "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for a in sh true sleep echo dd head yes; do ln -sf busybox "$root/bin/$a"; done
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
tar -C "$root" -cf "$work/l.tar" .
podman import -q "$work/l.tar" $img >/dev/null
podman save -q -o "$work/img.tar" $img
proa images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | grep -qx $img || proa load -q -i "$work/img.tar" >/dev/null

# measure ROW TOOL=[PREPARATION =>]CMD...: the tools take turns, one run each per round, after the preparation, which is not
# timed; the row's medians go to the results.
measure() {
    local row=$1; shift
    local i pair tool cmd prepare
    for ((i = 0; i < rounds; i++)); do
        for pair in "$@"; do
            tool=${pair%%=*} cmd=${pair#*=} prepare=()
            [[ $cmd != *' => '* ]] || { prepare=(--prepare "${cmd%% => *}"); cmd=${cmd#* => }; }
            hyperfine -N --warmup $((i == 0 ? ${warmup:-2} : 0)) --runs 1 "${prepare[@]}" --export-json "$work/h.json" "$cmd" >/dev/null 2>"$work/h.err" ||
                { echo "bench: $row is left out: $tool fails: $cmd" >&2; failed=1
                  grep -v "^$row	" "$results" > "$work/r" || true; mv "$work/r" "$results"; return 0; }
            jq -r --arg row "$row" --arg tool "$tool" '.results[0].times[] | [$row, $tool, . * 1000, "ms"] | @tsv' "$work/h.json" >> "$results"
        done
    done
}
result() { printf '%s\t%s\t%s\t%s\n' "$@" >> "$results"; } # ROW TOOL VALUE UNIT
docker_too() { # only where a daemon answers
    if command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1; then docker load -q -i "$work/img.tar" >/dev/null && echo "docker=docker $*"; fi
}
with_docker() { local d; d=$(docker_too "$@"); [[ -z $d ]] || echo "$d"; }

for part in ${PARTS:-life files runtime pull push many health}; do
    . "${0%/*}/bench/$part.sh"
done

jq -Rn --arg version "${VERSION:-unknown}" --arg kernel "$(uname -r)" --arg podman "$(podman --version)" --arg crun "$(crun --version | head -1)" '
  [inputs | split("\t") | {row: .[0], tool: .[1], value: (.[2] | tonumber), unit: .[3]}]
  | group_by([.row, .tool]) | map({row: .[0].row, tool: .[0].tool, unit: .[0].unit, samples: length, median: (map(.value) | sort | .[length / 2 | floor])})
  | {version: $version, kernel: $kernel, podman: $podman, crun: $crun, results: .}' "$results" > "$work/bench.json"
jq -r '
  (["", "proa", "podman", "crun", "skopeo", "docker", "best other / proa"] | join(" | ") | "| " + . + " |"), "|---|---|---|---|---|---|---|",
  (.results | group_by(.row)[] | . as $r
    | def at(t): ([$r[] | select(.tool == t)][0] | if . then "\(.median * 10 | round / 10) \(.unit)" else "" end);
      ([$r[] | select(.tool != "proa") | .median] | min) as $o | ([$r[] | select(.tool == "proa") | .median][0]) as $p
    | [$r[0].row, at("proa"), at("podman"), at("crun"), at("skopeo"), at("docker"), (if $p and $o then "\($o / $p * 10 | round / 10)" else "" end)]
    | join(" | ") | "| " + . + " |")' "$work/bench.json"
exit $failed
