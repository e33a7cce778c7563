# One container's life, command by command. Its stop signal is SIGKILL, so that stopping it waits for nothing.
p="podman $pflags"
mapfile -t d < <(with_docker run --rm --network=none $img true)
measure "run --rm --network=none true" "proa=proa run --rm --network=none $img true" "podman=podman $pflags run --rm --network=none $img true" "${d[@]}"

for n in 1 2 3; do
    proa run -d --network=none --stop-signal KILL --name bench-$n $img sleep 100000 >/dev/null
    podman run -d --network=none --stop-signal KILL --name pbench-$n $img sleep 100000 >/dev/null
done
measure "exec true" "proa=proa exec bench-1 true" "podman=$p exec pbench-1 true"
measure "ps, 3 containers" "proa=proa ps" "podman=$p ps"
measure "inspect" "proa=proa inspect bench-1" "podman=$p inspect pbench-1"
measure "--version" "proa=proa --version" "podman=podman --version"
measure "start" "proa=proa stop bench-2 => proa start bench-2" "podman=$p stop pbench-2 => $p start pbench-2"
measure "stop" "proa=proa start bench-3 => proa stop bench-3" "podman=$p start pbench-3 => $p stop pbench-3"
for n in 1 2 3; do proa rm -f bench-$n >/dev/null; podman rm -f -t 0 pbench-$n >/dev/null; done
measure "rm" "proa=proa create --network=none --name bench-4 $img true => proa rm bench-4" \
    "podman=$p create --network=none --name pbench-4 $img true => $p rm pbench-4"
measure "rm -f, running" "proa=proa run -d --network=none --name bench-5 $img sleep 1000 => proa rm -f bench-5" \
    "podman=$p run -d --network=none --name pbench-5 $img sleep 1000 => $p rm -f -t 0 pbench-5"
