#!/usr/bin/env bash
# The tool does what its help says, on a few rows. works.sh SEER WORK_FOLDER
set -euo pipefail
seer=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
{
  echo 'trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status'
  for i in $(seq 0 199); do
    echo "$i,,front,GET,$((i * 20000)),$((i > 100 && i < 120 ? 300000 : 9000)),,,200"
    echo "$i,front,cart,get,$((i * 20000 + 1000)),5000,,,200"
  done
} >calls.csv
fail() { echo "works.sh: $*" >&2; exit 1; }
"$seer" --help | grep -q 'exit codes' || fail 'help'
"$seer" import --from rpc-csv calls.csv -o a.seerdata --json | grep -q '"intervals": 400' || fail import
"$seer" label a.seerdata | grep -q '^GET' || fail label
"$seer" label a.seerdata | grep -q '^GET' && fail 'labels twice'
"$seer" stats a.seerdata --svg a.svg | grep -q '^violation  *GET' || fail stats
grep -q '</svg>' a.svg || fail svg
"$seer" stats a.seerdata --json | grep -q '"name": "cart"' || fail 'stats --json'
"$seer" inspect --check a.seerdata | grep -q 'calls.csv' || fail inspect
"$seer" export a.seerdata -o folder >/dev/null || fail export
"$seer" import --from csv folder --append -o a.seerdata >/dev/null || fail 'import of what was exported'
"$seer" inspect a.seerdata --json | grep -q '"name": "folder"' || fail 'a second run'
status=0
"$seer" import --from rpc-csv none.csv -o b.seerdata 2>message || status=$?
[ $status -eq 1 ] && grep -q 'none.csv' message || fail "a missing file: $status"
status=0
"$seer" import --from rpc-csv 2>/dev/null >&2 || status=$?
[ $status -eq 2 ] || fail "usage: $status"
printf 'torn' >>a.seerdata
status=0
"$seer" inspect a.seerdata >/dev/null || status=$?
[ $status -eq 3 ] || fail "a torn end: $status"
echo 'works'
