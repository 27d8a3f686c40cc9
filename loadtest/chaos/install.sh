#!/bin/sh
# What the scenarios of jumping clocks need on Debian or Ubuntu: libfaketime, by the package manager. Without it they are not played.
set -eu
for library in /usr/lib/*/faketime/libfaketimeMT.so.1; do
    [ ! -f "$library" ] || exit 0
done
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
$sudo apt-get update && $sudo apt-get install -y --no-install-recommends libfaketime
