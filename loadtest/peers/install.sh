#!/bin/sh
# Builds the peers that `loadtest peers` holds Weir against, into .weir/peers: Gin (Go 1.26 or newer), FastAPI (Python 3.11 or newer)
# and Nest (Node 20 or newer). Versions are those of go.sum, requirements.txt and package-lock.json; nothing is left outside .weir.
set -eu
cd "$(dirname "$0")"
into=$(cd ../.. && pwd)/.weir/peers
mkdir -p "$into"
for tool in go python3 npm node; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: the peers are programs of Go, Python and Node" >&2; exit 1; }
done

(cd gin && go build -mod=readonly -o "$into/gin/peer" .)

# A venv or node_modules is made anew only when what it is made of has changed.
changed() { ! cmp -s "$1" "$2"; }

venv=$into/fastapi/venv
if changed fastapi/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement fastapi/requirements.txt
    cp fastapi/requirements.txt "$venv/requirements.txt"
fi
cp fastapi/*.py "$into/fastapi/"

nest=$into/nest
mkdir -p "$nest"
if changed nest/package-lock.json "$nest/package-lock.json"; then
    cp nest/package.json nest/package-lock.json "$nest/"
    (cd "$nest" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || { rm -f "$nest/package-lock.json"; exit 1; }
fi
rm -rf "$nest/src" "$nest/dist"
cp -r nest/src nest/tsconfig.json "$nest/"
(cd "$nest" && npm run --silent build)
