#!/bin/bash
# bench-end.sh USER DIR (as root): ends what bench.sh's user still runs and removes the user and DIR.
set -u
uid=$(id -u "$1") || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    left=0
    for p in /proc/[0-9]*; do
        [[ $(stat -c %u "$p" 2>/dev/null) = "$uid" ]] || continue
        kill -KILL "${p#/proc/}" 2>/dev/null && left=1
    done
    [[ $left = 1 ]] || break
    sleep 0.1
done
userdel -r "$1" 2>/dev/null
rm -rf "$2" "/run/user/$uid"
