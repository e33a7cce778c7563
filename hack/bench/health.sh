# A health check: the time of the processors that all processes of the session use for one. Podman's are started by a timer
# of systemd, which is not counted; proa's by the monitor.
if [[ -r /sys/fs/cgroup/cpu.stat ]]; then
    used() { awk '/^usage_usec/{print $2}' /sys/fs/cgroup/cpu.stat; }
    proa run -d --network=none --health-cmd true --health-interval 200ms --name health $img sleep 100000 >/dev/null
    for ((i = 0; i < 5; i++)); do
        sleep 0.5; t=$(used); sleep 4
        result "health check, CPU" proa "$(awk "BEGIN{print ($(used) - $t) / 20000}")" ms
    done
    proa rm -f health >/dev/null
    podman run -d --network=none --health-cmd true --health-interval disable --name phealth $img sleep 100000 >/dev/null
    for ((i = 0; i < 5; i++)); do
        t=$(used); for n in 1 2 3 4 5; do podman healthcheck run phealth >/dev/null; done
        result "health check, CPU" podman "$(awk "BEGIN{print ($(used) - $t) / 5000}")" ms
    done
    podman rm -f -t 0 phealth >/dev/null
fi
