#!/bin/sh
# Property runs of the OpenAPI document against a running stack (`make up`): every status documented, every answer of its schema.
# Prints schemathesis' report and ends with its status. The seed is fixed; SEED=… and EXAMPLES=… change the run.
set -eu
cd "$(dirname "$0")/../.."

VERSION=4.32.5
VENV=.weir/schemathesis
test -f .weir/env || { echo "run make up first" >&2; exit 1; }
if ! "$VENV/bin/schemathesis" --version 2>/dev/null | grep -q "$VERSION"; then
    python3 -c 'import ensurepip' 2>/dev/null || sh deploy/local/bootstrap.sh python3 python3-venv
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
fi

. ./.weir/env
ALL="events:write events:read metrics:read dlq:read dlq:write slo:read sources:admin topics:admin quotas:admin"
# The tokens are handed over in the environment of the run and not on its command line, where others could read them.
SCHEMATHESIS_TOKEN=$(make -s token ACCOUNT=contract ROLE=operator SCOPE="$ALL")
SCHEMATHESIS_BEACON=$(make -s token ACCOUNT=contract SCOPE="events:write")
export SCHEMATHESIS_TOKEN SCHEMATHESIS_BEACON
# A stream has no end, and each new topic class is a topic of the log: their own tests drive those.
exec "$VENV/bin/schemathesis" --config-file deploy/contract/schemathesis.toml run openapi/v1.yaml \
    --url "${WEIR_URL:-http://127.0.0.1:8080}" --seed "${SEED:-20261122}" --max-examples "${EXAMPLES:-60}" --checks all \
    --exclude-operation-id streamEvents --exclude-operation-id putTopicClass "$@"
