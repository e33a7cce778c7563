#!/bin/bash
# vm.sh: runs a script or tests in a virtual machine with Debian 12, systemd as process 1, cgroup v2 and AppArmor: what
# many build machines and containers lack. As root, with debootstrap and qemu-system-x86. Run 'make build' first.
#
#   hack/vm.sh [OPTIONS] SCRIPT [ARGS...]    run a script; proa is in PATH, the user is "vm", uid 1000
#   hack/vm.sh [OPTIONS] --test REGEXP       run the end-to-end tests whose names match
#
#   --as login     as vm in a session of its own, beneath session-N.scope, as after ssh (the default)
#        manager   as vm in a unit of its user manager, beneath user@1000.service, lingering
#        bare      as vm from a system service: no session, no XDG_RUNTIME_DIR, as a cron job's
#        root      as root from a system service (the default of --test, whose tests make a user)
#   --with FILE    put FILE into /proa/files of the machine; may be given again
#
# The exit status is the script's; 125 when the machine did not come so far. Environment:
#   VMDIR       holds the image, made at the first run (a minute or two, 500 MB); ~/.cache/proa/vm
#   VM_SUITE    bookworm (the default) or another release of Debian's
#   VM_ACCEL    tcg (the default: works everywhere, some 20 times slower) or kvm
#   VM_TIMEOUT  seconds until the machine is given up; 900
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
VMDIR=${VMDIR:-$HOME/.cache/proa/vm}
GO=${GO:-go}
# A change of the packages or of what build_image does makes another image: raise the number then.
version=2
packages="linux-image-cloud-amd64 initramfs-tools systemd-sysv dbus dbus-user-session libpam-systemd udev kmod apparmor
    uidmap busybox-static crun podman procps iproute2 util-linux zstd sudo"
die() { echo "vm: $*" >&2; exit 125; }
usage() { sed -n '2,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 125; }

as= test= files=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --as) as=${2:-}; shift 2 ;;
        --test) test=${2:-}; shift 2 ;;
        --with) files+=("${2:-}"); shift 2 ;;
        -*) usage ;;
        *) break ;;
    esac
done
[[ -n $test || $# -gt 0 ]] || usage
[[ -z $test || $# = 0 ]] || usage
[[ -n $as ]] || { as=login; [[ -z $test ]] || as=root; }
[[ " login manager bare root " = *" $as "* ]] || usage
[[ $(id -u) = 0 ]] || die "must be root: debootstrap makes the image's files"
[[ -x $here/bin/proa ]] || die "bin/proa is missing; run 'make build'"
for p in debootstrap:debootstrap qemu-system-x86_64:qemu-system-x86 mkfs.ext4:e2fsprogs; do
    command -v "${p%:*}" >/dev/null || die "${p%:*} is missing; run: apt-get install --no-install-recommends ${p#*:}"
done

suite=${VM_SUITE:-bookworm}
image=$VMDIR/$suite-$version
build_image() {
    echo "vm: making the image in $VMDIR" >&2
    local root; root=$(mktemp -d "$VMDIR/rootfs.XXXXXX")
    trap 'umount "$root/proc" 2>/dev/null || :; rm -rf --one-file-system "$root"' RETURN
    debootstrap --variant=minbase "$suite" "$root" "${VM_MIRROR:-http://deb.debian.org/debian}" >"$VMDIR/build.log" 2>&1 || return
    in_root() { DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@" >>"$VMDIR/build.log" 2>&1; }
    mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/proa"
    # Without this a package's start-up script starts services here.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe"
    printf 'MODULES=list\nCOMPRESS=zstd\n' >"$root/etc/initramfs-tools/conf.d/proa"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    mount -t proc proc "$root/proc"
    # The kernel goes last, so that the one initial file system that is made knows its modules.
    mkdir -p "$root/etc/initramfs-tools" && printf 'virtio_pci\nvirtio_blk\next4\n' >"$root/etc/initramfs-tools/modules"
    # shellcheck disable=SC2086
    in_root apt-get -q -y --no-install-recommends install $packages || return
    umount "$root/proc"
    in_root apt-get clean
    in_root useradd -m -s /bin/bash -u 1000 vm || return
    echo 'ALL ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/all"
    echo proa-vm >"$root/etc/hostname"
    echo '127.0.0.1 localhost proa-vm' >"$root/etc/hosts"
    echo '/dev/vdb /proa ext4 defaults 0 0' >"$root/etc/fstab"
    local u; for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
        getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyS1.service podman.service podman.socket podman-auto-update.timer podman-restart.service; do
        ln -sfn /dev/null "$root/etc/systemd/system/$u"
    done
    cat >"$root/etc/systemd/system/proa-vm.service" <<'UNIT'
[Unit]
Description=what the machine was started for
RequiresMountsFor=/proa
After=systemd-user-sessions.service systemd-logind.service dbus.service
[Service]
Type=oneshot
TTYPath=/dev/ttyS1
StandardInput=null
StandardOutput=tty
StandardError=tty
ExecStart=/bin/bash /proa/guest.sh
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
UNIT
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s ../proa-vm.service "$root/etc/systemd/system/multi-user.target.wants/"
    cp "$root"/boot/vmlinuz-* "$image.vmlinuz" && cp "$root"/boot/initrd.img-* "$image.initrd" || return
    rm -rf "$root"/var/lib/apt/lists/* "$root"/boot/*
    truncate -s 3G "$image.new" && mkfs.ext4 -q -F -d "$root" "$image.new" && mv "$image.new" "$image.img"
}

mkdir -p "$VMDIR"
exec 9>"$VMDIR/lock"
flock 9
[[ -e $image.img ]] || { build_image || { tail -20 "$VMDIR/build.log" >&2; die "the image could not be made; $VMDIR/build.log says more"; }; }
exec 9>&-

work=$(mktemp -d "$VMDIR/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
payload=$work/payload
mkdir -p "$payload/bin" "$payload/files"
cp "$here/hack/vm-guest.sh" "$payload/guest.sh"
cp "$here"/bin/proa "$here"/bin/proa-runtime "$here"/bin/proa-image "$here"/bin/proa-build "$here"/bin/proa-netd "$payload/bin/"
[[ ${#files[@]} = 0 ]] || cp -r "${files[@]}" "$payload/files/"
if [[ -n $test ]]; then
    tags=$(sed -n 's/^TAGS *:= *//p' "$here/Makefile")
    cp "$here/go.mod" "$payload/" && cp -r "$here/tests" "$payload/tests"
    (cd "$here" && CGO_ENABLED=0 "$GO" test -c -tags "$tags" -o "$payload/tests/tests.test" ./tests)
    printf 'cd /proa/tests && exec ./tests.test -test.v -test.run %q\n' "$test" >"$payload/command"
else
    cp "$1" "$payload/script"; chmod 755 "$payload/script"; shift
    { printf 'exec /proa/script'; [[ $# = 0 ]] || printf ' %q' "$@"; echo; } >"$payload/command"
fi
echo "$as" >"$payload/as"
chmod -R a+rX "$payload"
truncate -s 1G "$work/payload.img" && mkfs.ext4 -q -F -d "$payload" "$work/payload.img"

accel=${VM_ACCEL:-tcg}
case $accel in
    tcg) accel=tcg,thread=multi cpu=max ;;
    *) cpu=host ;;
esac
# The first serial port is the console; the second, the script's output, is this program's.
timeout --foreground "${VM_TIMEOUT:-900}" qemu-system-x86_64 -accel "$accel" -cpu "$cpu" -smp 2 -m 4096 -nodefaults -nographic -no-reboot \
    -serial "file:$work/console" -chardev stdio,id=out,signal=off -serial chardev:out \
    -kernel "$image.vmlinuz" -initrd "$image.initrd" -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 random.trust_cpu=on" \
    -drive "file=$image.img,if=virtio,format=raw,snapshot=on" -drive "file=$work/payload.img,if=virtio,format=raw,snapshot=on" \
    </dev/null | tee "$work/out" | sed -u '/^proa-vm: exit [0-9]*$/d' || :
status=$(sed -n 's/^proa-vm: exit \([0-9]*\)$/\1/p' "$work/out" | tail -1)
[[ -n $status ]] || { tail -30 "$work/console" >&2; die "the machine ended before the script did; its console is above"; }
exit "$status"
