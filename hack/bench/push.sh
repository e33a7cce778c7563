# Push to a registry on loopback: three layers of 100 MB of which half compresses, to one that has none of it; then images
# of one new layer of a kilobyte on those.
if command -v docker-registry >/dev/null; then
    port=$((30000 + $$ % 10000)); base=localhost/bench/push:base new=localhost/bench/push:new
    printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:%s}\n' "$work/preg" $port > "$work/preg.yml"
    start_registry() {
        rm -rf "$work/preg"; docker-registry serve "$work/preg.yml" >/dev/null 2>&1 & reg=$!
        until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
    }
    forget() { # what the tools know of blobs
        rm -rf "$HOME/.local/share/containers/cache" "$HOME/.local/share/containers/storage/proa-blob-info" "$XDG_RUNTIME_DIR/containers/proa-blob-info"
    }
    mkdir -p "$work/half"
    for n in 1 2 3; do
        for m in 1 2 3 4 5 6 7 8 9 10; do { head -c 5M /dev/urandom; head -c 5M /dev/zero; }; done > "$work/half/f$n"
    done
    tar -C "$work/half" -cf "$work/half.tar" f1; proa import "$work/half.tar" $base >/dev/null; rm "$work/half.tar"
    for n in 2 3; do
        proa create --name bench-push $base true >/dev/null; proa cp "$work/half/f$n" bench-push:/
        proa commit -q bench-push $base >/dev/null; proa rm bench-push >/dev/null
    done
    rm -rf "$work/half"
    push_with() { # TOOL IMAGE: the command, to a repository of the tool's own
        local to=127.0.0.1:$port/$1:${2##*:}
        case $1 in
        proa) echo "$work/bin/proa push -q --tls-verify=false $2 $to" ;;
        podman) echo "podman $pflags push -q --tls-verify=false $2 $to" ;;
        skopeo) echo "skopeo copy -q --dest-tls-verify=false containers-storage:$2 docker://$to" ;;
        esac
    }
    for _ in 1 2 3 4 5; do
        for tool in proa podman skopeo; do
            start_registry; forget
            /usr/bin/env python3 - "push, 3 layers, 300 MB" $tool $(push_with $tool $base) >> "$results" <<'P'
import resource, subprocess, sys, time
row, tool, cmd = sys.argv[1], sys.argv[2], sys.argv[3:]
t = time.monotonic()
subprocess.run(cmd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(row, tool, (time.monotonic() - t) * 1000, "ms", sep="\t")
print(row + ", peak memory", tool, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "MiB", sep="\t")
P
            kill $reg; wait $reg 2>/dev/null || true
        done
    done
    start_registry; forget
    for tool in proa podman skopeo; do $(push_with $tool $base) >/dev/null 2>&1; done
    cat > "$work/new-layer" <<P
#!/bin/sh -e
date +%N > $work/stamp
proa create --name bench-push $base true >/dev/null; proa cp $work/stamp bench-push:/
proa commit -q bench-push $new >/dev/null; proa rm bench-push >/dev/null
P
    chmod +x "$work/new-layer"
    measure "push, one small layer is new" "proa=$work/new-layer => $(push_with proa $new)" "podman=$work/new-layer => $(push_with podman $new)" \
        "skopeo=$work/new-layer => $(push_with skopeo $new)"
    kill $reg
    proa rmi -f $base $new >/dev/null
fi
