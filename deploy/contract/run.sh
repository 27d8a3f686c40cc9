#!/bin/sh
# Property runs of the OpenAPI document against a running stack (`make up`): every status documented, every answer of its schema.
# Prints schemathesis' report and ends with its status. The seed is fixed; SEED=… and EXAMPLES=… change the run.
set -eu
cd "$(dirname "$0")/../.."

VERSION=4.32.5
VENV=.weir/schemathesis
test -f .weir/env || { echo "run make up first" >&2; exit 1; }
if ! "$VENV/bin/schemathesis" --version 2>/dev/null | grep -q "$VERSION"; then
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
fi

. ./.weir/env
TOKEN=$(make -s token ACCOUNT=contract SCOPE="events:write events:read metrics:read")
# The token is handed over in the environment of the run and not on its command line, where others could read it.
export SCHEMATHESIS_TOKEN="$TOKEN"
exec "$VENV/bin/schemathesis" --config-file deploy/contract/schemathesis.toml run openapi/v1.yaml \
    --url "${WEIR_URL:-http://127.0.0.1:8080}" --seed "${SEED:-20261122}" --max-examples "${EXAMPLES:-60}" --checks all
