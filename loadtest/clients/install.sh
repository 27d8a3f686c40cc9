#!/bin/sh
# What the check of real clients needs on Debian or Ubuntu: curl, Node 20.10 or newer, and Chromium, by the package manager.
set -eu
missing=""
command -v curl >/dev/null || missing="$missing curl"
command -v node >/dev/null || missing="$missing nodejs"
command -v chromium >/dev/null || missing="$missing chromium"
[ -n "$missing" ] || exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
# shellcheck disable=SC2086 -- a list of packages
$sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing
