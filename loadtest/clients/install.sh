#!/bin/sh
# What the check of real clients needs on Debian or Ubuntu: curl, Node 20.10 or newer, and Chromium, by the package manager.
set -eu
missing=""
command -v curl >/dev/null || missing="$missing curl"
command -v node >/dev/null || missing="$missing nodejs"
command -v chromium >/dev/null || missing="$missing chromium"
# shellcheck disable=SC2086 # the names are words
[ -z "$missing" ] || sh "$(dirname "$0")/../../deploy/local/bootstrap.sh" $missing
