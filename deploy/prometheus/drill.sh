#!/bin/sh
# A rehearsal: Debian's Prometheus scrapes the stack of `make up` under load while one thing after the other breaks and is mended
# again. The rules are those of rules/, with their times made shorter, so that hours take minutes. For each alert: it fires, what
# its section of docs/runbook.md says to look at says what it should, and it resolves. Prints what was seen and when, and fails at
# the first thing that is otherwise. Only WeirPanics is left out: it needs a mistake in the code.
#
#   make up && deploy/prometheus/drill.sh
set -eu
cd "$(dirname "$0")/../.."

stack="${WEIR_DIR:-.weir}" programs="${CARGO_TARGET_DIR:-target}/debug"
[ -f "$stack/env" ] || { echo "run make up first" >&2; exit 1; }
# shellcheck disable=SC1091 # written by make up
. "$stack/env"
process() { sed -n '1s/[^0-9].*//p' "$stack/run/$1.pid"; }
# The process and its children: the postmaster's connections are processes of their own.
signal() { kill "-$1" "$2"; pkill "-$1" -P "$2" || true; }
up() { "$programs/weir-local" --dir "$stack" up >>"$work/up.log" 2>&1; }
promtool() { sh deploy/prometheus/promtool.sh "$@"; }
promtool --version >/dev/null 2>&1
prometheus=$(command -v prometheus || echo "${XDG_CACHE_HOME:-$HOME/.cache}/weir/prometheus/usr/bin/prometheus")

# Read every five seconds instead of every five minutes: with rules so short the key set is stale soon.
export WEIR_JWT_JWKS_REFRESH_SECONDS=5

work=$(mktemp -d)
children='' halted='' keys_away='' worker_less=''
sql() { psql -qAt "$DATABASE_ADMIN_URL" -c "$1"; }
# Whatever the rehearsal broke is mended, however it ends.
finish() {
    [ -z "$halted" ] || signal CONT "$halted" 2>/dev/null || true
    [ -z "$keys_away" ] || mv "$work/jwks.json" "$WEIR_JWT_JWKS" || true
    for child in $worker_less $children; do kill "$child" 2>/dev/null || true; done
    sql "ALTER TABLE events DROP CONSTRAINT IF EXISTS drill; GRANT INSERT ON events TO weir_worker" 2>/dev/null || true
    unset WEIR_JWT_JWKS_REFRESH_SECONDS
    up || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# Hours into minutes; nothing else of the rules is changed.
mkdir "$work/rules"
for file in deploy/prometheus/rules/*.yaml; do
    sed -e 's/\[30d\]/[240s]/g; s/\[7d\]/[240s]/g; s/\[3d\]/[180s]/g; s/\[1d\]/[150s]/g; s/\[6h\]/[90s]/g; s/\[1h\]/[60s]/g' \
        -e 's/\[30m\]/[30s]/g; s/\[10m\]/[30s]/g; s/\[5m\]/[15s]/g; s/\[2m\]/[10s]/g; s/> 3600/> 20/' \
        -e 's/for: 5m/for: 10s/; s/for: 2m/for: 6s/; s/for: 1m/for: 5s/; s/for: 30s/for: 4s/' "$file" >"$work/rules/${file##*/}"
done
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules/*.yaml]
scrape_configs: [{job_name: weir, file_sd_configs: [{files: [targets.json]}]}]
END
port="${DRILL_PORT:-19090}"
second="127.0.0.1:$((port + 1))" second_management="127.0.0.1:$((port + 2))"
# watch ADDRESS...: what Prometheus scrapes from now on.
watch() {
    list=$(printf '"%s",' "$@")
    printf '[{"targets": [%s]}]' "${list%,}" >"$work/targets.new"
    mv "$work/targets.new" "$work/targets.json"
}
up
watch "${WEIR_MANAGEMENT_URL#http://}"
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
children="$children $!"

call() { curl -s --noproxy '*' --max-time 5 "$@"; }
token() { "$programs/weir-local" --dir "$stack" token --account "$1"; }
curl_as() { printf 'header = "Authorization: Bearer %s"\nheader = "Content-Type: application/json"\n' "$(token "$1")" >"$work/$1"; }
curl_as drill
load() {
    while :; do
        call -o /dev/null --config "$work/drill" "$WEIR_URL/v1/events" -d '{"event_name": "drill", "user_id": "u"}' || true
    done
}
# Another window each time, so that the answer is in no process's own cache.
questions() {
    from=1700000000
    while :; do
        from=$((from + 1))
        call -o /dev/null --config "$work/drill" "$WEIR_URL/v1/accounts/drill/summary?from=$from&to=1700086400" || true
        sleep 0.2
    done
}
for work_of in load load questions; do "$work_of" & children="$children $!"; done

begun=$(date +%s)
say() { echo "$(($(date +%s) - begun)) s: $*"; }
wrong() { echo "$*; firing: $(firing | tr '\n' ';')" >&2; exit 1; }
ask() { promtool query instant "http://127.0.0.1:$port" "$1" 2>/dev/null; }
firing() {
    ask 'count by (alertname, slo) (ALERTS{alertstate="firing"})' |
        sed -n 's/^{alertname="\([^"]*\)"\(, slo="\([^"]*\)"\)\{0,1\}}.*/\1 \3/p' | sort
}
# await SECONDS yes|no NAME...: until every one of them fires, or none does.
await() {
    limit=$(($(date +%s) + $1)) wanted=$2
    shift 2
    for alert in "$@"; do
        while :; do
            if firing | grep -q "^$alert "; then found=yes; else found=no; fi
            [ "$found" = "$wanted" ] && break
            [ "$(date +%s)" -lt "$limit" ] || wrong "$alert: firing is $found, $wanted was wanted"
            sleep 1
        done
        if [ "$wanted" = yes ]; then say "$alert fires"; else say "$alert is resolved"; fi
    done
}
# sees TEXT COMMAND...: what the runbook says to look at shows what it says.
sees() {
    text=$1
    shift
    tries=0
    until "$@" 2>&1 | grep -q -e "$text"; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || wrong "not seen in '$*': $text"
        sleep 1
    done
    say "  seen: $text"
}
ready() { call "$WEIR_MANAGEMENT_URL/ready"; }
log_lines() { tail -n 20000 "$stack/log/weir.log" | grep -E '"level":"(WARN|ERROR)"'; }
halt() { halted=$(process "$1"); signal STOP "$halted"; say "$1 hangs"; }
go_on() { signal CONT "$halted"; halted=''; say "it goes on"; }

slow_broker() {
    halted=$(process kafka-1)
    (while :; do signal STOP "$halted"; sleep 0.7; signal CONT "$halted"; sleep 0.4; done) &
    pulse=$!
    children="$children $pulse"
    say "the broker stands still for moments"
    await 240 yes WeirSlowIngest
    sees '} => ' ask 'histogram_quantile(0.99, sum by (le) (rate(weir_log_ack_seconds_bucket[15s]))) > 0.25'
    kill "$pulse"
    go_on
    await 240 no WeirSlowIngest
}

# A batch of 1,000 events of that name.
batch() {
    events=$(yes "{\"event_name\":\"$1\",\"user_id\":\"u\"}" | head -n 1000 | paste -sd , -)
    echo "{\"events\":[$events]}" >"$work/batch"
}
# 28 accounts, for none may send so much alone.
flood() {
    batch drill
    for account in $(seq -f 'flood-%g' 28); do
        curl_as "$account"
        for _ in 1 2 3 4; do
            call -o /dev/null --config "$work/$account" "$WEIR_URL/v1/events/batch" --data-binary "@$work/batch" || true
        done
    done
    say "112,000 events more were sent"
}

postgres_away() {
    halt postgres
    await 240 yes WeirPostgresAway
    sees '"store"' ready
    flood
    await 240 yes WeirQueueDeep WeirLag
    go_on
    await 600 no WeirPostgresAway WeirLag WeirQueueDeep
}

redis_away() {
    halt redis
    await 240 yes WeirRedisAway
    sees '"cache"' ready
    sees 'kind="late"\|kind="away"' ask 'rate(weir_cache_failures_total[15s]) > 0'
    sees '} => 1 ' ask weir_limit_alone
    go_on
    await 240 no WeirRedisAway
}

# A rule of the database that nobody told the service about: class 23, so the data are to blame.
dead_letters() {
    sql "ALTER TABLE events ADD CONSTRAINT drill CHECK (event_name <> 'unstorable') NOT VALID"
    curl_as unstorable
    batch unstorable
    call -o /dev/null --config "$work/unstorable" "$WEIR_URL/v1/events/batch" --data-binary "@$work/batch"
    say "1,000 events come that Postgres refuses"
    await 300 yes WeirDeadLetters WeirDeadLetterFlood
    sees 'unstorable' "$programs/weir" dead-letters list
    sees '23514' "$programs/weir" dead-letters list
    sql "ALTER TABLE events DROP CONSTRAINT drill"
    await 300 no WeirDeadLetters WeirDeadLetterFlood
    "$programs/weir" dead-letters replay --account unstorable >>"$work/replay.log" 2>&1 || wrong "$(cat "$work/replay.log")"
    sees '^1000$' sql "SELECT count(*) FROM events WHERE account_id = 'unstorable'"
}

schema() {
    sql "REVOKE INSERT ON events FROM weir_worker"
    say "the worker's login may not insert"
    await 240 yes WeirSchema
    sees 'permission denied for table events' log_lines
    sql "GRANT INSERT ON events TO weir_worker"
    await 240 no WeirSchema
}

keys() {
    mv "$WEIR_JWT_JWKS" "$work/jwks.json"
    keys_away=yes
    say "the key set is away"
    await 240 yes WeirKeysStale
    sees 'key' log_lines
    mv "$work/jwks.json" "$WEIR_JWT_JWKS"
    keys_away=''
    await 240 no WeirKeysStale
}

# A second process, without a worker, that says more than anybody reads.
worker_gone() {
    mkfifo "$work/stdout"
    sleep 3600 <"$work/stdout" &
    children="$children $!"
    WEIR_LISTEN="$second" WEIR_MANAGEMENT_LISTEN="$second_management" WEIR_LOG=trace "$programs/weir" api >"$work/stdout" &
    worker_less=$!
    sees healthy call "http://$second_management/health"
    watch "${WEIR_MANAGEMENT_URL#http://}" "$second_management"
    call --max-time 300 -o /dev/null "http://$second/v1/nothing?[1-20000]" || true
    await 240 yes WeirLogLinesDropped
    sees '} => ' ask 'increase(weir_log_lines_dropped_total[30s]) > 0'
    cat "$work/stdout" >/dev/null &
    children="$children $!"
    await 240 no WeirLogLinesDropped

    kill "$(process weir)"
    say "only a process without a worker is left"
    await 240 yes WeirDown WeirNobodyStores
    up
    say "the other one is started again"
    await 240 no WeirDown WeirNobodyStores
    watch "${WEIR_MANAGEMENT_URL#http://}"
    kill "$worker_less"
    worker_less=''
}

kafka_away() {
    kill -KILL "$(process kafka-1)"
    say "the broker is killed"
    await 240 yes WeirLogAway WeirErrors WeirBrokerDown SloBurnsVeryFast SloBurnsFast SloBurnsTwiceForAnHour SloBurnsSteadily SloBroken
    sees '"log"' ready
    sees 'route="postEvent", status="503"' ask 'sum by (route, status) (rate(http_request_duration_seconds_count{status=~"5.."}[5m]))'
    sees 'state="down"} => 1' ask 'weir_log_brokers'
    sees 'slo="ingest-availability"} => -' ask 'slo:budget_left:ratio'
    up
    say "the broker is started again"
    await 240 no WeirLogAway WeirErrors WeirBrokerDown
    await 600 no SloBurnsVeryFast SloBurnsFast SloBurnsTwiceForAnHour SloBurnsSteadily SloBroken
}

sleep 30
quiet=$(firing)
[ -z "$quiet" ] || wrong "an alert fires without a reason"
say "load runs, nothing fires"
for scenario in ${DRILL:-slow_broker redis_away schema keys worker_gone postgres_away dead_letters kafka_away}; do "$scenario"; done
say "firing at the end: $(firing | tr '\n' ';')"
