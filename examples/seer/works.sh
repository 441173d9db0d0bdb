#!/usr/bin/env bash
# The tool does what its help says, on a few rows. works.sh SEER WORK_FOLDER
set -euo pipefail
seer=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
fail() { echo "works.sh: $*" >&2; exit 1; }
# exits CODE MESSAGE COMMAND...: how it ends, and what it says then on standard error.
exits() {
  local wanted=$1 message=$2 status=0
  shift 2
  "$@" >printed 2>said || status=$?
  [ $status -eq "$wanted" ] || fail "$* ended with $status, not $wanted: $(cat said)"
  [ -z "$message" ] || grep -q -- "$message" said || fail "$* does not say '$message': $(cat said)"
}

# 60 s of 50 requests a second; from 50 s to 51 s cart takes 300 ms instead of 5.
awk 'BEGIN {
  print "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status"
  for (i = 0; i < 3000; ++i) {
    cart = i >= 2500 && i < 2550 ? 300000 : 5000
    print i ",,front,GET," i * 20000 "," cart + 4000 ",,,200"
    print i ",front,cart,get," i * 20000 + 1000 "," cart ",,,200"
  }
}' >calls.csv
"$seer" --help | grep -q 'exit codes' || fail 'help'
"$seer" import --from rpc-csv calls.csv -o a.seerdata --json | grep -q '"intervals": 6000' || fail import

# Culprits by depths, as the dataset holds no traces; by the traces; and while they are imported.
cp a.seerdata b.seerdata
cp a.seerdata bare.seerdata
"$seer" label a.seerdata >labels
grep -q '^GET .* service  *cart .* depths' labels || fail "label: $(cat labels)"
"$seer" label a.seerdata | grep -q 'no violation that was not' || fail 'labels twice'
"$seer" label b.seerdata --dry-run --json | grep -q '"culprit": "cart"' || fail 'label --dry-run'
"$seer" label b.seerdata --from rpc-csv --traces calls.csv --ticks ticks.csv --horizons-ms 100,300 |
  grep -q '^GET .* service  *cart .* traces' || fail 'label --traces'
[ ! -e b.seerdata.label-scratch ] || fail 'label leaves something behind'
head -1 ticks.csv | grep -qx 'run,time_ms,class,in_violation,starts_in_100_ms,starts_in_300_ms,initiation,culprit' ||
  fail "the ticks' header: $(head -1 ticks.csv)"
[ "$(grep -c '^calls.csv,[0-9]*,GET,0,1,1,service,cart$' ticks.csv)" -eq 1 ] || fail 'one tick is 100 ms before'
[ "$(grep -c '^calls.csv,[0-9]*,GET,0,0,1,service,cart$' ticks.csv)" -eq 2 ] || fail 'two more are 300 ms before'
grep -q '^calls.csv,[0-9]*,GET,1,,,,$' ticks.csv || fail 'while it lasts nothing is known'
"$seer" import --from rpc-csv calls.csv --label -o c.seerdata --json | grep -q '"events": 1' || fail 'import --label'
"$seer" stats c.seerdata | grep -q '^violation .*GET .* service  *cart .*seer label: traces' || fail 'import --label: who'
exits 2 '--from' "$seer" label b.seerdata --traces calls.csv
exits 1 'none.csv' "$seer" label bare.seerdata --from rpc-csv --traces none.csv
exits 1 'there is no run 7' "$seer" label b.seerdata --run 7

"$seer" stats a.seerdata --svg a.svg >stats
grep -q '^violation  *GET' stats || fail stats
grep -q '^outstanding at .* p50 .* p99' stats || fail 'stats: quantiles'
grep -q '^share of ticks .* 0  *<= 1' stats || fail 'stats: histogram'
grep -q '</svg>' a.svg && grep -q 'class="bar"' a.svg || fail svg
"$seer" stats a.seerdata --json >stats.json
grep -q '"name": "cart"' stats.json && grep -q '"histogram": \[{"above": 0, "to": 0' stats.json || fail 'stats --json'
"$seer" stats a.seerdata --of blocked | grep -q '^front ' || fail 'stats --of'
"$seer" stats a.seerdata --of accept --json | grep -q '"p99": null' || fail 'what nobody measured is no zero'
exits 1 'cannot be written' "$seer" stats a.seerdata --svg nowhere/a.svg
exits 1 'there is no run 7' "$seer" stats a.seerdata --run 7
exits 2 'accept' "$seer" stats a.seerdata --of threads
"$seer" inspect --check a.seerdata | grep -q 'calls.csv' || fail inspect

# Depths are depths and means are means, also after a way there and back.
"$seer" export a.seerdata -o folder >/dev/null || fail export
head -1 folder/depths.csv | grep -q 'front>cart#outbound' || fail 'depths.csv'
head -1 folder/means.csv | grep -q 'front>cart#outbound' || fail 'means.csv'
grep -q '^50[0-9]*,5[0-9]*,cart,$' folder/violations.csv || fail "violations.csv: $(cat folder/violations.csv)"
"$seer" import --from csv folder --append -o a.seerdata >/dev/null || fail 'import of what was exported'
"$seer" inspect a.seerdata --json | grep -q '"name": "folder"' || fail 'a second run'
"$seer" export a.seerdata --run 1 -o again >/dev/null || fail 'export of what was imported'
for table in depths means latency violations; do
  cmp -s "folder/$table.csv" "again/$table.csv" || fail "$table.csv is another one after a way there and back"
done
# What people gave goes before what is found.
"$seer" label a.seerdata --run 1 | grep -q '^GET .* service  *cart .* 1  *truth' || fail 'truth'
exits 1 'cannot be made' "$seer" export a.seerdata -o folder
exits 1 'cannot be made' "$seer" export a.seerdata -o nowhere/folder

# A terminal shows how far it is; a file, a pipe, --quiet and --json do not.
if command -v script >/dev/null; then
  awk 'BEGIN {
    print "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status"
    for (i = 0; i < 120000; ++i) print i ",,front,GET," i * 1000 ",900,,,200"
  }' >long.csv
  script -qec "'$seer' import --from rpc-csv long.csv -o long.seerdata" /dev/null </dev/null >terminal
  tr '\r' '\n' <terminal | grep -q '^\[####* *\] .* % .* spans' || fail 'no progress bar on a terminal'
  script -qec "'$seer' import --quiet --from rpc-csv long.csv -o quiet.seerdata" /dev/null </dev/null >terminal
  ! grep -q '%' terminal || fail 'a progress bar in spite of --quiet'
  "$seer" import --from rpc-csv long.csv -o file.seerdata >printed 2>said
  ! grep -q '%' printed said || fail 'a progress bar in a file'
fi

# Nothing there, nothing known, nothing sound.
head -1 calls.csv >empty.csv
exits 1 'holds no span' "$seer" import --from rpc-csv empty.csv -o empty.seerdata
[ ! -e empty.seerdata ] || fail 'an import of nothing leaves something'
head -200 calls.csv >calm.csv
"$seer" import --from rpc-csv calm.csv -o calm.seerdata --quiet >/dev/null
"$seer" label calm.seerdata | grep -q 'no violation' || fail 'nothing to label'
[ "$("$seer" label calm.seerdata --json)" = '[]' ] || fail 'nothing to label, as JSON'
exits 1 'none.csv' "$seer" import --from rpc-csv none.csv -o d.seerdata
exits 1 'none.seerdata' "$seer" inspect none.seerdata
exits 1 'calls.csv' "$seer" label calls.csv
exits 1 'is there already' "$seer" import --from rpc-csv calls.csv -o a.seerdata
exits 1 'nowhere' "$seer" import --from rpc-csv calls.csv -o nowhere/a.seerdata
exits 2 '' "$seer" import --from rpc-csv
exits 2 '' "$seer"
exits 2 '' "$seer" stats
exits 2 'run seer label' "$seer" import --label --from csv folder -o e.seerdata
exits 2 '' "$seer" label a.seerdata --horizons-ms 100,fast

# As many classes as there are requests.
awk 'BEGIN {
  print "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status"
  for (i = 0; i < 3000; ++i) print i ",,front,GET/" i "," i * 20000 ",150000,,,200"
}' >classes.csv
"$seer" import --from rpc-csv classes.csv -o classes.seerdata --quiet >/dev/null || fail 'many classes'
"$seer" label classes.seerdata >labels || fail 'many classes: label'
[ "$(grep -c '^GET/' labels)" -gt 500 ] || fail "many classes: $(wc -l <labels) labels"
"$seer" stats classes.seerdata --json >/dev/null && "$seer" export classes.seerdata -o classes >/dev/null ||
  fail 'many classes: stats, export'

printf 'torn' >>a.seerdata
exits 3 '' "$seer" inspect a.seerdata
exits 0 '' "$seer" stats a.seerdata
echo 'works'
