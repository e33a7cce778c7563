#!/bin/bash
# quickstart.sh: from a checkout to a running container in one command. Installs what is missing, builds, installs to
# PREFIX (default /usr/local as root, ~/.local otherwise) and runs the image proa carries, as an ordinary user.
# Started as root it takes the user who called sudo, or makes the user "proa".
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }
die() { echo "quickstart: $*" >&2; exit 1; }

if [[ $(id -u) = 0 ]]; then PREFIX=${PREFIX:-/usr/local}; else PREFIX=${PREFIX:-$HOME/.local}; fi

say "what building and running needs"
hack/setup.sh
say "building and installing to $PREFIX"
make -s install PREFIX="$PREFIX"
proa=$PREFIX/bin/proa

if [[ $(id -u) = 0 ]]; then
    user=${SUDO_USER:-proa}
    [[ $user != root ]] || user=proa
    if ! id "$user" >/dev/null 2>&1; then
        useradd -m -s /bin/bash "$user"
        echo "made the user $user"
    fi
    grep -q "^$user:" /etc/subuid || usermod --add-subuids 200000-265535 "$user"
    grep -q "^$user:" /etc/subgid || usermod --add-subgids 200000-265535 "$user"
    uid=$(id -u "$user") gid=$(id -g "$user")
    [[ -d /run/user/$uid ]] || install -d -m 0755 /run/user
    [[ -d /run/user/$uid ]] || install -d -m 0700 -o "$uid" -g "$gid" "/run/user/$uid"
    home=$(getent passwd "$user" | cut -d: -f6)
    run() {
        (cd "$home" && exec setpriv --reuid="$uid" --regid="$gid" --init-groups env -i HOME="$home" USER="$user" \
            LOGNAME="$user" XDG_RUNTIME_DIR="/run/user/$uid" TERM="${TERM:-dumb}" PATH="$PREFIX/bin:$PATH" "$@")
    }
else
    user=$(id -un)
    run() { "$@"; }
fi

say "$user runs: proa run --rm hello"
run "$proa" run --rm hello || die "the container did not run; 'proa doctor', run as $user, names what this host lacks"

say "next"
case ":$PATH:" in *":$PREFIX/bin:"*) ;; *) echo "export PATH=$PREFIX/bin:\$PATH" ;; esac
[[ $(id -u) != 0 ]] || echo "su - $user                     # or any other ordinary user"
cat <<'N'
proa doctor                     # what this host offers and lacks
proa run --rm -it alpine sh     # a shell in an image from a registry
proa run -d --name web nginx    # detached; proa ps, proa logs web, proa exec -it web sh, proa stop web
alias docker=proa
N
