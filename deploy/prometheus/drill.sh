#!/bin/sh
# A rehearsal: Debian's Prometheus scrapes the stack of `make up` under load while one system after the other hangs for a while:
# broker, Postgres, Redis, the service itself. The rules are those of rules/, with their times made shorter, so that hours take
# minutes. Prints what fired and when, and fails when an alert that should have fired or resolved did not.
#
#   make up && deploy/prometheus/drill.sh
set -eu
cd "$(dirname "$0")/../.."

stack="${WEIR_DIR:-.weir}"
[ -f "$stack/env" ] || { echo "run make up first" >&2; exit 1; }
# shellcheck disable=SC1091 # written by make up
. "$stack/env"
process() { sed -n '1s/[^0-9].*//p' "$stack/run/$1.pid"; }
# The process and its children: the postmaster's connections are processes of their own.
signal() { kill "-$1" "$2"; pkill "-$1" -P "$2" || true; }
promtool() { sh deploy/prometheus/promtool.sh "$@"; }
promtool --version >/dev/null 2>&1
prometheus=$(command -v prometheus || echo "${XDG_CACHE_HOME:-$HOME/.cache}/weir/prometheus/usr/bin/prometheus")

work=$(mktemp -d)
children=''
finish() {
    [ -z "${halted:-}" ] || signal CONT "$halted" 2>/dev/null || true
    for child in $children; do kill "$child" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT INT TERM

# Hours into minutes; nothing else of the rules is changed.
mkdir "$work/rules"
for file in deploy/prometheus/rules/*.yaml; do
    sed -e 's/\[30d\]/[600s]/g; s/\[7d\]/[480s]/g; s/\[3d\]/[360s]/g; s/\[1d\]/[300s]/g; s/\[6h\]/[120s]/g; s/\[1h\]/[60s]/g' \
        -e 's/\[30m\]/[30s]/g; s/\[10m\]/[30s]/g; s/\[5m\]/[15s]/g; s/\[2m\]/[10s]/g' \
        -e 's/for: 5m/for: 10s/; s/for: 2m/for: 6s/; s/for: 1m/for: 5s/; s/for: 30s/for: 4s/' "$file" >"$work/rules/${file##*/}"
done
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules/*.yaml]
scrape_configs: [{job_name: weir, static_configs: [{targets: ['${WEIR_MANAGEMENT_URL#http://}']}]}]
END
port="${DRILL_PORT:-19090}"
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
children="$children $!"

token=$(make -s token ACCOUNT=drill)
printf 'header = "Authorization: Bearer %s"\nheader = "Content-Type: application/json"\n' "$token" >"$work/curl"
load() {
    while :; do
        curl -s -o /dev/null --noproxy '*' --max-time 5 --config "$work/curl" "$WEIR_URL/v1/events" \
            -d '{"event_name": "drill", "user_id": "u"}' || true
    done
}
# Another window each time, so that the answer is in no process's own cache.
questions() {
    from=1700000000
    while :; do
        from=$((from + 1))
        curl -s -o /dev/null --noproxy '*' --max-time 5 --config "$work/curl" \
            "$WEIR_URL/v1/accounts/drill/summary?from=$from&to=1700086400" || true
        sleep 0.2
    done
}
for work_of in load load questions; do "$work_of" & children="$children $!"; done

begun=$(date +%s)
say() { echo "$(($(date +%s) - begun)) s: $*"; }
firing() {
    promtool query instant "http://127.0.0.1:$port" 'count by (alertname, slo) (ALERTS{alertstate="firing"})' 2>/dev/null |
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
            [ "$(date +%s)" -lt "$limit" ] || { echo "$alert: firing is $found, $wanted was wanted; now: $(firing | tr '\n' ';')" >&2; exit 1; }
            sleep 1
        done
        if [ "$wanted" = yes ]; then say "$alert fires"; else say "$alert is resolved"; fi
    done
}

sleep 30
quiet=$(firing)
[ -z "$quiet" ] || { echo "fires without a reason: $quiet" >&2; exit 1; }
say "load runs, nothing fires"
# hang NAME ALERT...: until these alerts fire; then it goes on, until they are resolved.
hang() {
    name=$1 halted=$(process "$1")
    shift
    signal STOP "$halted"
    say "$name hangs"
    await 120 yes "$@"
    signal CONT "$halted"
    halted=''
    say "$name goes on"
    await 120 no "$@"
}
hang kafka-1 WeirLogAway WeirErrors SloBurnsVeryFast
hang postgres WeirPostgresAway
hang redis WeirRedisAway
hang weir WeirDown
say "still firing, as their long windows remember: $(firing | tr '\n' ';')"
