#!/bin/sh
# What a build of Weir needs from the system, before there is any program of ours that could see to it, and the Debian packages that
# the caller names because it misses them. Says nothing when nothing is missing. The engines are weir-local's own business.
set -eu

need="${*:+ $*}"
lacks() { ! command -v "$1" >/dev/null 2>&1; }
want() { need="$need $1"; }

lacks cargo && PATH="$HOME/.cargo/bin:$PATH"
if lacks cargo; then
    echo "Rust is missing: install it from https://rustup.rs (curl https://sh.rustup.rs -sSf | sh), then try again." >&2
    exit 1
fi

if lacks cc || lacks c++ || lacks make; then want build-essential; fi
if lacks perl; then want perl; fi
if lacks curl; then want curl; fi
if lacks pkg-config; then
    want pkg-config
    want libssl-dev
    want zlib1g-dev
else
    pkg-config --exists openssl || want libssl-dev
    pkg-config --exists zlib || want zlib1g-dev
fi
[ -n "$need" ] || exit 0

if lacks apt-get; then
    echo "Missing:$need (Debian's names). This system has no apt-get: install them by hand." >&2
    exit 1
fi
sudo=''
if [ "$(id -u)" != 0 ]; then
    if lacks sudo || { ! sudo -n true 2>/dev/null && [ ! -t 0 ]; }; then
        echo "Missing:$need. Install as root: apt-get install$need" >&2
        exit 1
    fi
    sudo=sudo
fi

install() {
    # shellcheck disable=SC2086 # the names are words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=300 $need
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "install   $need, by apt-get" >&2
# Fetched only when the lists at hand are not enough.
if install >"$log" 2>&1; then exit 0; fi
if $sudo apt-get update >"$log" 2>&1 && install >>"$log" 2>&1; then exit 0; fi
echo "apt-get could not install$need; its last lines:" >&2
tail -n 15 "$log" >&2
exit 1
