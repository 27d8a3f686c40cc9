#!/bin/sh
# Runs loadtest/k6/ingest.js against what `make up` runs and writes loadtest/results.json. SECONDS_OF_RUN=60 and PEAK=20000 change the
# run, RESULTS=/… the file. k6 is built once into .weir/k6, at the version of loadtest/k6/go.mod. Status 99: a threshold was missed.
set -eu
cd "$(dirname "$0")/../.."
test -f .weir/env || { echo "run make up first" >&2; exit 1; }
k6=$PWD/.weir/k6/k6
if ! cmp -s loadtest/k6/go.mod .weir/k6/go.mod; then
    command -v go >/dev/null || { echo "Go 1.25 or newer is missing: k6 is built from its module" >&2; exit 1; }
    echo "building k6, a minute or two" >&2
    mkdir -p .weir/k6
    (cd loadtest/k6 && go build -mod=readonly -o "$k6" go.k6.io/k6/v2)
    cp loadtest/k6/go.mod .weir/k6/
fi

. ./.weir/env
weir=${CARGO_TARGET_DIR:-target}/debug/weir
# For the tokens, which nobody else may read.
umask 077
tokens=$(mktemp)
trap 'rm -f "$tokens"' EXIT
account=0
while [ "$account" -lt "${ACCOUNTS:-64}" ]; do
    "$weir" token --account "k6-$account" --scope events:write >>"$tokens"
    account=$((account + 1))
done

export K6_NO_USAGE_REPORT=true K6_AUTO_EXTENSION_RESOLUTION=false
status=0
"$k6" run --quiet --address "" --log-output stderr \
    --env WEIR_URL="$WEIR_URL" --env TOKENS="$tokens" --env RUN="$(date +%s)" --env SECONDS="${SECONDS_OF_RUN:-60}" \
    --env PEAK="${PEAK:-20000}" --env RESULTS="${RESULTS:-$PWD/loadtest/results.json}" \
    loadtest/k6/ingest.js || status=$?
exit "$status"
