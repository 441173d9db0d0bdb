#!/usr/bin/env bash
# The agent as an operator uses it: it writes snapshots, serves metrics, survives strange requests,
# and ends in good order on SIGTERM.
#
#   serves.sh AGENT FOLDER
set -euo pipefail
agent=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder"
: >"$folder/lines"

"$agent" --demo --directory "$folder/queues" --listen 0 --output "$folder/snapshots" \
  --class 'shop/looks=demo/look:p99<=20ms/1s' --class 'others=demo:5>90ms/10s' --spans "$folder/spans" \
  >"$folder/lines" 2>"$folder/errors" &
pid=$!
trap 'kill -KILL $pid 2>/dev/null || true' EXIT

fail() {
  echo "$*" >&2
  tail -n 5 "$folder/lines" "$folder/errors" >&2
  exit 1
}
# Until the first line tells the port, and there are three ticks.
for _ in $(seq 200); do
  [ "$(wc -l <"$folder/lines")" -ge 4 ] && break
  kill -0 $pid 2>/dev/null || fail "it ended by itself"
  sleep 0.05
done
port=$(sed -n '1s,^http://127.0.0.1:\([0-9]*\)/metrics$,\1,p' "$folder/lines")
[ -n "$port" ] || fail "it does not tell its port"

ask() { # REQUEST (with \r\n): prints the answer
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf "$1" >&3
  cat <&3
  exec 3>&-
}
page=$(ask 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
grep -q '^HTTP/1.1 200 OK' <<<"$page" || fail "no page: $page"
grep -q '^seer_queue_depth{service="demo",instance="demo-0",queue="queued"} 3$' <<<"$page" ||
  fail "the demo's queue is not in the page: $page"
grep -q '# EOF' <<<"$page" && fail "OpenMetrics though nobody asked"
page=$(ask 'GET /metrics HTTP/1.1\r\nACCEPT: application/openmetrics-text\r\n\r\n')
grep -q '^# EOF$' <<<"$page" || fail "no OpenMetrics: $page"
grep -q '^Content-Type: application/openmetrics-text' <<<"$page" || fail "another type: $page"
grep -q '404' <<<"$(ask 'GET / HTTP/1.1\r\n\r\n')" || fail "it serves other pages"
grep -q '405' <<<"$(ask 'POST /metrics HTTP/1.1\r\n\r\n')" || fail "it takes a POST"
for nonsense in '\r\n\r\n' 'GET\r\n\r\n' ' \r\n\r\n' '\0\xff\r\n:\r\n\r\n'; do
  grep -aq '^HTTP/1.1 40[45] ' <<<"$(ask "$nonsense")" || fail "it does not answer '$nonsense'"
done
grep -q '431' <<<"$(ask "GET /$(printf 'a%.0s' $(seq 9000)) HTTP/1.1")" || fail "it reads without end"
# Connections that say nothing are in nobody's way.
for fd in 10 11 12 13 14 15 16 17 18 19; do eval "exec $fd<>/dev/tcp/127.0.0.1/$port"; done
grep -q '200 OK' <<<"$(ask 'HEAD /metrics HTTP/1.1\r\n\r\n')" || fail "silent connections block it"

kill -TERM $pid
status=0
wait $pid || status=$?
trap - EXIT
[ $status -eq 0 ] || fail "SIGTERM ends it with status $status"
[ ! -s "$folder/errors" ] || fail "it complains"
# Length and magic of the first message, a topology; then snapshots.
[ "$(od -An -c -j4 -N4 "$folder/snapshots" | tr -d ' ')" = SEER ] || fail "no messages"
[ "$(stat -c %s "$folder/snapshots")" -gt 400 ] || fail "no snapshots"
[ "$(od -An -c -j4 -N4 "$folder/spans" | tr -d ' ')" = SEER ] || fail "no spans"
grep -q '  looks 1, 0 slow, p99 .*  others 0, 0 slow' "$folder/lines" || fail "no classes"
[ -z "$(ls "$folder/queues")" ] || fail "the demo's segment is left behind"

"$agent" --help | grep -q -- --listen || fail "no help"
for wrong in --period=5 --samples=0 --listen=65536 --port=80 --nonsense stray \
  --class=looks --class==demo:p99\<=20ms/1s --class=x=demo:p99\<=20/1s --class=x=demo:p199\<=20ms/1s \
  --class=x=demo:p99\<=20ms/1s/ --spans=/no/such/folder/x; do
  if "$agent" "$wrong" >/dev/null 2>&1; then fail "it takes $wrong"; fi
done
if "$agent" --ticks 1 --output /no/such/folder/x >/dev/null 2>&1; then fail "it cannot have written"; fi
