#!/bin/bash
# bench.sh: measures proa beside podman with crun, skopeo and docker, as an unprivileged user, whole processes, runs
# interleaved; prints one table of medians and writes bench.json. Run by `make bench`; as root it makes a user and a
# session with cgroup v2 for it, otherwise it runs as whoever calls it. ROUNDS (default 15) is the number of rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "bench: $*" >&2; exit 1; }

if [[ ${1:-} != --inside ]]; then
    out=$PWD/bench.json
    work=$(mktemp -d /tmp/proa-bench-XXXXXX); chmod 755 "$work"
    mkdir -p "$work/bin" "$work/libexec/proa" "$work/hack"
    cp bin/proa bin/proa-runtime "$work/bin/"; cp bin/proa-image "$work/libexec/proa/"
    cp hack/bench.sh "$work/hack/"
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
        rc=0; hack/booted.sh $user env ROUNDS="${ROUNDS:-15}" VERSION="$version" "$work/hack/bench.sh" --inside "$work" || rc=$?
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
for a in sh true sleep echo; do ln -sf busybox "$root/bin/$a"; done
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
tar -C "$root" -cf "$work/l.tar" .
podman import -q "$work/l.tar" $img >/dev/null
podman save -q -o "$work/img.tar" $img
proa images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | grep -qx $img || proa load -q -i "$work/img.tar" >/dev/null

# measure ROW TOOL=CMD...: the tools take turns, one run each per round; the row's medians go to the results.
measure() {
    local row=$1; shift
    local i pair tool
    for ((i = 0; i < rounds; i++)); do
        for pair in "$@"; do
            tool=${pair%%=*}
            hyperfine -N --warmup $((i == 0 ? 2 : 0)) --runs 1 --export-json "$work/h.json" "${pair#*=}" >/dev/null 2>"$work/h.err" ||
                { echo "bench: $row is left out: $tool fails: ${pair#*=}" >&2; failed=1
                  grep -v "^$row	" "$results" > "$work/r" || true; mv "$work/r" "$results"; return 0; }
            jq -r --arg row "$row" --arg tool "$tool" '.results[0].times[] | [$row, $tool, . * 1000, "ms"] | @tsv' "$work/h.json" >> "$results"
        done
    done
}
docker_too() { # only where a daemon answers
    if command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1; then docker load -q -i "$work/img.tar" >/dev/null && echo "docker=docker $*"; fi
}
with_docker() { local d; d=$(docker_too "$@"); [[ -z $d ]] || echo "$d"; }

mapfile -t d < <(with_docker run --rm --network=none $img true)
measure "run --rm --network=none true" "proa=proa run --rm --network=none $img true" "podman=podman $pflags run --rm --network=none $img true" "${d[@]}"

for n in 1 2 3; do
    proa run -d --network=none --name bench-$n $img sleep 100000 >/dev/null
    podman run -d --network=none --name pbench-$n $img sleep 100000 >/dev/null
done
measure "exec true" "proa=proa exec bench-1 true" "podman=podman $pflags exec pbench-1 true"
mkdir "$work/tree"; for n in $(seq 50); do mkdir "$work/tree/$n"; head -c 10M /dev/urandom | split -b 1M - "$work/tree/$n/f"; done
measure "cp, 500 MB in" "proa=proa cp $work/tree bench-1:/" "podman=podman $pflags cp $work/tree pbench-1:/"
measure "cp, 500 MB out" "proa=proa cp bench-1:/tree $work/out" "podman=podman $pflags cp pbench-1:/tree $work/pout"
rm -rf "$work/tree" "$work/out" "$work/pout"
measure "ps, 3 containers" "proa=proa ps" "podman=podman $pflags ps"
measure "--version" "proa=proa --version" "podman=podman --version"
for n in 1 2 3; do proa rm -f bench-$n >/dev/null; podman rm -f -t 0 pbench-$n >/dev/null; done

bundle=$work/bundle; mkdir -p "$bundle"; cp -a "$root" "$bundle/rootfs"
(cd "$bundle" && crun spec --rootless && jq --argjson u "$(id -u)" --argjson g "$(id -g)" '.process.terminal=false | .process.args=["/bin/true"] |
    del(.linux.resources) | .linux.uidMappings=[{containerID:0,hostID:$u,size:1}] |
    .linux.gidMappings=[{containerID:0,hostID:$g,size:1}]' config.json > c && mv c config.json)
cat > "$work/bin/crun-run" <<C
#!/bin/sh
exec crun --root $work/crun run --bundle $bundle c\$\$
C
cat > "$work/bin/proa-run" <<C
#!/bin/sh
exec proa-runtime --root $work/pr run --bundle $bundle c\$\$
C
chmod +x "$work"/bin/*-run
measure "runtime run, one bundle" "proa=proa-run" "crun=crun-run"

# Pull: six layers of 50 MB that do not compress, from a registry on loopback; the peak is of the tool's processes.
if command -v docker-registry >/dev/null; then
    port=$((20000 + $$ % 10000)); ref=127.0.0.1:$port/big:1
    printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:%s}\n' "$work/reg" $port > "$work/reg.yml"
    docker-registry serve "$work/reg.yml" >/dev/null 2>&1 & reg=$!
    oci=$work/oci/blobs/sha256; mkdir -p "$oci"
    blob() { local s; s=$(sha256sum < "$1" | cut -d' ' -f1); mv "$1" "$oci/$s"; echo "$s"; }
    layers= diffs=
    for n in 1 2 3 4 5 6; do
        mkdir -p "$work/big"; head -c 50M /dev/urandom > "$work/big/f$n"
        tar -C "$work/big" -cf "$work/b.tar" f$n; rm "$work/big/f$n"
        diffs="$diffs\"sha256:$(sha256sum < "$work/b.tar" | cut -d' ' -f1)\" "
        gzip -1 "$work/b.tar"; size=$(stat -c %s "$work/b.tar.gz")
        layers="$layers{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"size\":$size,\"digest\":\"sha256:$(blob "$work/b.tar.gz")\"} "
    done
    jq -n --argjson d "$(jq -s . <<<"$diffs")" --arg a "$(go env GOARCH 2>/dev/null || uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')" \
        '{architecture:$a,os:"linux",config:{},rootfs:{type:"layers",diff_ids:$d}}' > "$work/c"
    csize=$(stat -c %s "$work/c"); cdig=$(blob "$work/c")
    jq -n --argjson l "$(jq -s . <<<"$layers")" --argjson s "$csize" --arg d "sha256:$cdig" \
        '{schemaVersion:2,mediaType:"application/vnd.oci.image.manifest.v1+json",config:{mediaType:"application/vnd.oci.image.config.v1+json",size:$s,digest:$d},layers:$l}' > "$work/m"
    msize=$(stat -c %s "$work/m"); mdig=$(blob "$work/m")
    echo '{"imageLayoutVersion":"1.0.0"}' > "$work/oci/oci-layout"
    jq -n --argjson s "$msize" --arg d "sha256:$mdig" '{schemaVersion:2,manifests:[{mediaType:"application/vnd.oci.image.manifest.v1+json",size:$s,digest:$d}]}' > "$work/oci/index.json"
    skopeo copy -q --dest-tls-verify=false "oci:$work/oci" "docker://$ref"
    rm -rf "$work/oci"
    peak() { # peak ROW TOOL CMD...: time and peak memory of the largest process, once
        local row=$1 tool=$2; shift 2
        /usr/bin/env python3 - "$row" "$tool" "$@" >> "$results" <<'P'
import os, resource, subprocess, sys, time
row, tool, cmd = sys.argv[1], sys.argv[2], sys.argv[3:]
t = time.monotonic()
subprocess.run(cmd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
ms = (time.monotonic() - t) * 1000
print(row, tool, ms, "ms", sep="\t")
print(row + ", peak memory", tool, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "MiB", sep="\t")
P
        podman rmi -f "$ref" >/dev/null
    }
    for _ in 1 2 3 4 5; do
        peak "pull, 6 layers, 300 MB" proa "$work/bin/proa" pull -q --tls-verify=false "$ref"
        peak "pull, 6 layers, 300 MB" podman podman pull -q --tls-verify=false "$ref"
        peak "pull, 6 layers, 300 MB" skopeo skopeo copy -q --src-tls-verify=false "docker://$ref" "containers-storage:$ref"
    done
    kill $reg
fi

# Memory: the proportional set size of the monitors of 50 idle containers.
pss() { # pss ROW TOOL PIDS...
    local row=$1 tool=$2; shift 2
    local sum=0 p kib
    for p in "$@"; do
        kib=$(awk '/^Pss:/{print $2}' "/proc/$p/smaps_rollup")
        sum=$((sum + kib))
    done
    printf '%s\t%s\t%s\tKiB\n' "$row" "$tool" "$(awk "BEGIN{print $sum/$#}")" >> "$results"
}
for n in $(seq 50); do proa run -d --network=none --name idle-$n $img sleep 100000 >/dev/null; done
pids=(); for n in $(seq 50); do i=$(proa inspect -f '{{.State.Pid}}' idle-$n); pids+=("$(awk '/^PPid:/{print $2}' "/proc/$i/status")"); done
pss "monitor, idle, of 50" proa "${pids[@]}"
measure "stats --no-stream, 50 containers" "proa=proa stats --no-stream"
for n in $(seq 50); do proa rm -f idle-$n >/dev/null; done
for n in $(seq 50); do podman run -d --network=none --name pidle-$n $img sleep 100000 >/dev/null; done
mapfile -t pids < <(pgrep -u "$(id -u)" -x conmon)
pss "monitor, idle, of 50" podman "${pids[@]}"
measure "stats --no-stream, 50 containers" "podman=podman $pflags stats --no-stream"
podman rm -f -t 0 -a >/dev/null

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
