#!/bin/sh
# Runs promtool with the given words. Where the machine has none, Debian's package `prometheus` is unpacked into the cache:
# nothing is installed, so no service starts, and root is not needed while apt's lists are there.
#
#   deploy/prometheus/promtool.sh check rules deploy/prometheus/rules/*.yaml
set -eu

if command -v promtool >/dev/null 2>&1; then exec promtool "$@"; fi

cache="${XDG_CACHE_HOME:-$HOME/.cache}/weir/prometheus"
promtool="$cache/usr/bin/promtool"
if [ ! -x "$promtool" ]; then
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
        echo "promtool is missing and this system has no apt-get: install Prometheus by hand" >&2
        exit 1
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # The package's user for downloads must be able to write here.
    chmod 777 "$work"
    fetch() { (cd "$work" && apt-get download prometheus >"$work/log" 2>&1); }
    if ! fetch; then
        sudo=''
        [ "$(id -u)" = 0 ] || sudo='sudo -n'
        # Lists that are there are used as they are; a machine without any has to fetch them first.
        if ! { $sudo apt-get update >"$work/log" 2>&1 && fetch; }; then
            echo "promtool is missing and apt-get cannot bring the package prometheus:" >&2
            tail -n 5 "$work/log" >&2
            exit 1
        fi
    fi
    dpkg-deb -x "$work"/prometheus_*.deb "$work/tree"
    mkdir -p "$cache/usr/bin"
    # Moved last and whole: two test processes may do this at once.
    for program in prometheus promtool; do
        mv "$work/tree/usr/bin/$program" "$cache/usr/bin/.$program.$$"
        mv "$cache/usr/bin/.$program.$$" "$cache/usr/bin/$program"
    done
    rm -rf "$work"
    trap - EXIT
fi
exec "$promtool" "$@"
