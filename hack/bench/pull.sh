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
