#!/bin/bash
# booted.sh USER CMD [ARGS...]   (as root)
# Runs CMD as USER where the host looks like one with cgroup v2 only and a delegated subtree, as a login session of
# systemd gives: on machines with hybrid cgroups, or without systemd, podman and crun would not run otherwise. It has a
# mount and a cgroup namespace of its own; what it makes on the host is one cgroup, removed at the end with all in it.
set -u
die() { echo "booted: $*" >&2; exit 125; }

if [[ ${1:-} != --inside ]]; then
    [[ $(id -u) = 0 ]] || die "must be root"
    [[ $# -ge 2 ]] || die "usage: hack/booted.sh USER CMD [ARGS...]"
    id "$1" >/dev/null || exit 125
    top=
    for d in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [[ $(stat -f -c %T $d 2>/dev/null) != cgroup2fs ]] || { top=$d; break; }
    done
    [[ -n $top ]] || die "no cgroup2 is mounted; mount one with: mount -t cgroup2 none /sys/fs/cgroup/unified"
    cg=$top/proa-booted-$$
    mkdir "$cg" || exit 125
    ( echo $BASHPID > "$cg/cgroup.procs" && exec unshare --mount --cgroup --propagation private "$0" --inside "$@" )
    rc=$?
    echo 1 > "$cg/cgroup.kill" 2>/dev/null # what stays in the session's namespaces could not be reached any more
    for _ in 1 2 3 4 5; do
        find "$cg" -depth -type d -exec rmdir {} + 2>/dev/null
        [[ -d $cg ]] || break
        sleep 0.2
    done
    exit $rc
fi

shift
user=$1; shift
uid=$(id -u "$user") gid=$(id -g "$user") home=$(getent passwd "$user" | cut -d: -f6)
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup || die "mounting cgroup2"
slice=/sys/fs/cgroup/user.slice
mkdir -p $slice/session.scope
chown "$uid:$gid" $slice $slice/cgroup.procs $slice/cgroup.subtree_control $slice/cgroup.threads
chown -R "$uid:$gid" $slice/session.scope
echo $$ > $slice/session.scope/cgroup.procs
[[ $user != root ]] || exec "$@"
# As pam_systemd does: what is in it is gone with the session and costs no disk.
install -d -m 0755 /run/user
install -d -m 0700 -o "$uid" -g "$gid" "/run/user/$uid"
mount -t tmpfs -o "mode=0700,nosuid,nodev,uid=$uid,gid=$gid" tmpfs "/run/user/$uid" || die "mounting /run/user/$uid"
cd "$home" && exec setpriv --reuid="$uid" --regid="$gid" --init-groups --inh-caps=-all env -i HOME="$home" USER="$user" \
    LOGNAME="$user" XDG_RUNTIME_DIR="/run/user/$uid" LANG=C.UTF-8 TERM="${TERM:-dumb}" PATH="$PATH" "$@"
