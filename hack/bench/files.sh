# Files into a container and out of it.
proa run -d --network=none --name bench-1 $img sleep 100000 >/dev/null
podman run -d --network=none --name pbench-1 $img sleep 100000 >/dev/null
mkdir "$work/tree"; for n in $(seq 50); do mkdir "$work/tree/$n"; head -c 10M /dev/urandom | split -b 1M - "$work/tree/$n/f"; done
measure "cp, 500 MB in" "proa=proa cp $work/tree bench-1:/" "podman=podman $pflags cp $work/tree pbench-1:/"
measure "cp, 500 MB out" "proa=proa cp bench-1:/tree $work/out" "podman=podman $pflags cp pbench-1:/tree $work/pout"
rm -rf "$work/tree" "$work/out" "$work/pout"
proa rm -f bench-1 >/dev/null; podman rm -f -t 0 pbench-1 >/dev/null

# Output: through a pipe and into a log, and out of the log again.
zeros="dd if=/dev/zero bs=64k count=3200"
text="sh -c 'yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 100000000'"
piped() { printf '%s=sh -c "%s run --rm --network=none %s %s 2>/dev/null | dd of=/dev/null bs=64k 2>/dev/null"' "$1" "$2" "$img" "$zeros"; }
rounds=3 measure "output, 200 MB through a pipe" "$(piped proa proa)" "$(piped podman "podman $pflags")"
eval "proa run --network=none --name bench-log $img $text" >/dev/null
eval "podman run --network=none --name pbench-log $img $text" >/dev/null
rounds=3 measure "logs, 100 MB" "proa=proa logs bench-log" "podman=podman $pflags logs pbench-log"
measure "logs --tail 10 of 100 MB" "proa=proa logs --tail 10 bench-log" "podman=podman $pflags logs --tail 10 pbench-log"
proa rm -f bench-log >/dev/null; podman rm -f -t 0 pbench-log >/dev/null
