# Many containers at once: 100 runs from 20 shells, what 50 idle ones hold, 200 in lists.
p="podman $pflags"
cat > "$work/bin/parallel" <<C
#!/bin/sh
# parallel PREFIX ENGINE...: 100 runs of ENGINE from 20 shells at once
prefix=\$1; shift
for s in \$(seq 20); do
    (for n in 1 2 3 4 5; do "\$@" run -d --network=none --name \$prefix-\$s-\$n $img sleep 100000 >/dev/null || exit 1; done) &
    pids="\$pids \$!"
done
for pid in \$pids; do wait \$pid || exit 1; done
C
chmod +x "$work/bin/parallel"
rounds=3 measure "100 runs from 20 shells" "proa=proa rm -fa => parallel par proa" "podman=$p rm -fa -t 0 => parallel par $p"
proa rm -fa >/dev/null; podman rm -f -t 0 -a >/dev/null

# Memory: the proportional set size of the monitors.
pss() { # pss ROW TOOL PIDS...
    local row=$1 tool=$2; shift 2
    local sum=0 p kib
    for p in "$@"; do
        kib=$(awk '/^Pss:/{print $2}' "/proc/$p/smaps_rollup")
        sum=$((sum + kib))
    done
    result "$row" "$tool" "$(awk "BEGIN{print $sum/$#}")" KiB
}
for n in $(seq 50); do proa run -d --network=none --name idle-$n $img sleep 100000 >/dev/null; done
for n in $(seq 50); do podman run -d --network=none --name idle-$n $img sleep 100000 >/dev/null; done
mapfile -t pids < <(proa inspect -f '{{.State.ConmonPid}}' $(proa ps -q))
pss "monitor, idle, of 50" proa "${pids[@]}"
mapfile -t pids < <(pgrep -u "$(id -u)" -x conmon)
pss "monitor, idle, of 50" podman "${pids[@]}"
measure "stats --no-stream, 50 containers" "proa=proa stats --no-stream" "podman=$p stats --no-stream"

# The others were never started: a user may have 200 kernel keyrings, and crun makes one for every container.
for n in $(seq 51 200); do proa create --network=none --name idle-$n $img sleep 100000 >/dev/null; done
for n in $(seq 51 200); do podman create --network=none --name idle-$n $img sleep 100000 >/dev/null; done
measure "ps, 50 of 200 containers" "proa=proa ps" "podman=$p ps"
measure "ps -a, 200 containers" "proa=proa ps -a" "podman=$p ps -a"
warmup=0 rounds=1 measure "rm -fa, 200 containers" "proa=proa rm -fa" "podman=$p rm -f -t 0 -a"
proa rm -fa >/dev/null; podman rm -f -t 0 -a >/dev/null
