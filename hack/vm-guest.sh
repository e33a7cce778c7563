#!/bin/bash
# vm-guest.sh: what hack/vm.sh has the machine run as root, from a system service: /proa/command as the user that /proa/as
# says. Then it says the exit status on its output and switches the machine off.
stty -F /dev/ttyS1 raw
cd /
export PROA_VM=1
install -d /usr/local/libexec/proa
cp -a /proa/bin/proa /proa/bin/proa-runtime /usr/local/bin/
cp -a /proa/bin/proa-image /proa/bin/proa-build /proa/bin/proa-netd /usr/local/libexec/proa/
for m in overlay tun; do modprobe $m; done
manager() {
    loginctl enable-linger vm
    until [[ -S /run/user/1000/bus && -S /run/user/1000/systemd/private ]]; do sleep 0.2; done
    setpriv --reuid=1000 --regid=1000 --init-groups env -i HOME=/home/vm USER=vm PATH="$PATH" XDG_RUNTIME_DIR=/run/user/1000 \
        systemd-run --user --quiet --wait --pipe --collect -E PATH="$PATH" --working-directory=/home/vm bash /proa/command
}
case $(cat /proa/as) in
    login) su -l vm -c 'exec bash /proa/command' ;;
    manager) manager ;;
    bare) setpriv --reuid=1000 --regid=1000 --init-groups env -i HOME=/home/vm USER=vm LOGNAME=vm PATH="$PATH" bash -c 'cd && exec bash /proa/command' ;;
    root) HOME=/root bash /proa/command ;;
esac </dev/null 2>&1 | cat # a pipe and no terminal: no colours, no signals
printf '\nproa-vm: exit %d\n' "${PIPESTATUS[0]}"
sleep 0.2
echo o >/proc/sysrq-trigger
sleep 60
