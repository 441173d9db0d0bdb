#!/usr/bin/env bash
# `seer train` learns whose queue grows ahead of a violation, on a recording that this makes.
# train_works.sh SEER WORK_FOLDER
set -euo pipefail
seer=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
fail() { echo "train_works.sh: $*" >&2; exit 1; }

# record FOLDER SEED: five services for 200 s. Every 5 s a violation of 1 s, before which the queue of its
# initiator, drawn by lot, grows for 1.2 s. Some queues grow and nothing comes of it.
record() {
  mkdir "$1"
  awk -v seed="$2" -v folder="$1" '
    BEGIN {
      srand(seed)
      depths = folder "/depths.csv"; latency = folder "/latency.csv"; violations = folder "/violations.csv"
      printf "time_ms" > depths
      for (s = 0; s < 5; s++) printf ",s%d#queued", s > depths
      printf "\n" > depths
      print "time_ms,count,p50_ms,p99_ms" > latency
      print "start_ms,end_ms,culprit,cause" > violations
      for (t = 0; t < 2000; t++) {
        phase = t % 50
        if (phase == 0) { culprit = int(rand() * 5); other = int(rand() * 5) }
        time = 1700000000000 + 100 * (t + 1)
        printf "%.0f", time > depths
        for (s = 0; s < 5; s++) {
          depth = int(4 * rand())
          if (s == culprit && phase >= 28 && phase < 50) depth += phase < 40 ? 3 * (phase - 27) : 36
          if (s == other && phase >= 10 && phase < 16) depth += 3
          printf ",%d", depth > depths
        }
        printf "\n" > depths
        printf "%.0f,100,5,%d\n", time, (phase >= 40 ? 200 : 20) > latency
        if (phase == 40) printf "%.0f,%.0f,s%d,cpu\n", time, time + 900, culprit > violations
      }
    }' </dev/null
  printf 'caller,callee\n,s0\ns0,s1\ns0,s2\ns1,s3\ns2,s4\n' >"$1/topology.csv"
  "$seer" import --from csv "$1" -o "$1.seerdata" >/dev/null || fail "import of $1"
}
number() { sed -E "s/.*\"$1\": ([-0-9.e+]+).*/\1/" <<<"$2"; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }' || fail "$3: $1, not $2 or more"; }

record training 1
record held_out 2
train=("$seer" train training.seerdata -o model.seer --ticks 8 --config flat --threads 2 --learning-rate 0.003)

said=$("${train[@]}" --validation held_out.seerdata --epochs 8 --json) || fail train
at_least "$(number 'validation culprit right' "$said")" 0.9 'culprits of the held-out run'
at_least "$(number 'validation told ahead' "$said")" 0.8 'violations that are told ahead'
at_least 0.1 "$(number 'validation told in vain' "$said")" 'told in vain, at most'
"$seer" inspect model.seer | grep -q '^reads  *.*depth(queued)' || fail inspect
"$seer" inspect model.seer --json | grep -q '"training": "finished"' || fail 'inspect --json'

# What it would have said of the run that it has not seen: 40 violations.
"$seer" forecast model.seer held_out.seerdata --json >foreseen.json || fail forecast
at_least "$(grep -o '"lead_ms"' foreseen.json | wc -l)" 30 'violations foreseen'
at_least "$(grep -oE '"culprit": "(s[0-4])", "p_culprit": [^,]*, "lead_ms": [0-9]*, "truth": "\1"' foreseen.json | wc -l)" 28 \
  'and their initiators named'
"$seer" forecast model.seer held_out.seerdata --csv >foreseen.csv || fail 'forecast --csv'
grep -qE '^[0-9]+,[0-9]+,all,[0-9.e-]+,1,s[0-4],[0-9.e-]+$' foreseen.csv || fail "no alarm in foreseen.csv"
"$seer" forecast self-depth-z held_out.seerdata | grep -q ' s[0-4] .* s$\| s[0-4]$' || fail 'without a model'

# The alarm was chosen on the validation run, and stands in the model.
at_least "$(number 'validation recall' "$said")" 0.7 'recall on the validation run'

# Trees need no options, and know the run that they have not seen as well.
said=$("$seer" train training.seerdata --validation held_out.seerdata -o trees.seer --json) || fail 'train, trees'
at_least "$(number 'validation recall' "$said")" 0.9 'recall of the trees'
at_least "$(number 'validation culprit right' "$said")" 0.8 'culprits of the trees'
"$seer" inspect trees.seer | grep -q '^configuration  *trees' || fail 'inspect, trees'
record other 3
judged=$("$seer" eval trees.seer other.seerdata --json) || fail eval
at_least "$(sed -E 's/.*"recall": \{"value": ([0-9.]+).*/\1/' <<<"$judged")" 0.8 'recall on another run'
"$seer" eval trees.seer held_out.seerdata other.seerdata | grep -q '^median lead ms' || fail 'eval of two datasets'
"$seer" forecast trees.seer other.seerdata --csv >trees.csv || fail 'forecast, trees'
grep -qE '^[0-9]+,[0-9]+,all,[0-9.e-]+,1,s[0-4],[0-9.e-]+$' trees.csv || fail 'no alarm in trees.csv'
# Without a validation run the last part of the run is kept back; a search tries other shapes.
"$seer" train training.seerdata -o trees.seer | grep -q '^validation is the last part' || fail 'a part kept back'
said=$("$seer" train training.seerdata --validation held_out.seerdata -o trees.seer --search 20 --json) || fail search
at_least "$(number 'models tried' "$said")" 2 'models of a search'

# The bar, on a terminal.
if command -v script >/dev/null; then
  script -qec "$(printf '%q ' "${train[@]}") --epochs 1" bar.txt >/dev/null </dev/null || fail 'train on a terminal'
  tr '\r' '\n' <bar.txt | grep -q '^\[#* *\] epoch 1/1  loss [0-9.]*  validation .* windows/s  [0-9]* s left' || fail 'the bar'
fi

# A round more, and an ending that is not the end.
"${train[@]}" --epochs 1 --resume --json | grep -q '"epochs": 1' || fail 'a further round'
interrupt() { # as Ctrl-C does, until it has ended
  # Between fork and exec it is still a shell, which the signal would end.
  while [ "$(readlink "/proc/$1/exe")" = "$(readlink /proc/$$/exe)" ]; do sleep 0.01; done
  for _ in $(seq 100); do
    kill -INT "$1" 2>/dev/null || break
    sleep 0.2
  done
  wait "$1"
}
"${train[@]}" --epochs 2000 --quiet >stopped.txt &
interrupt $! || fail 'exit code of an interrupted training'
grep -q 'goes on' stopped.txt || fail "interrupted: $(cat stopped.txt)"
"$seer" inspect model.seer | grep -q '^training  *interrupted' || fail 'an interrupted model'
"${train[@]}" --epochs 2000 --resume --quiet >again.txt &
interrupt $! || fail 'resume'

"$seer" export-model model.seer -o model.onnx | grep -q 'opset' || fail export-model
[ -s model.onnx ] || fail 'an empty file'

# What makes no sense is said.
expect() { # expect CODE MESSAGE command...
  local code=$1 message=$2 status=0
  shift 2
  "$@" >/dev/null 2>message || status=$?
  [ $status -eq "$code" ] && grep -q -- "$message" message || fail "$*: $status, $(cat message)"
}
sed -i '2,$d' held_out/violations.csv
"$seer" import --from csv held_out -o quiet.seerdata >/dev/null
expect 1 'label the dataset' "$seer" train quiet.seerdata -o none.seer --config flat
expect 1 'seer label' "$seer" train quiet.seerdata --validation training.seerdata -o none.seer
expect 1 'seer label' "$seer" eval self-depth-z quiet.seerdata
expect 1 'self-depth-z' "$seer" forecast nonsense training.seerdata
expect 1 'none.seerdata' "$seer" forecast model.seer none.seerdata
expect 1 'no run 7' "$seer" forecast model.seer training.seerdata --run 7
expect 1 'one of cnn' "$seer" train training.seerdata -o none.seer --config nonsense
expect 1 'none.seerdata' "$seer" train none.seerdata -o none.seer
expect 1 'backend' "$seer" train training.seerdata -o none.seer --backend tpu
expect 2 '' "$seer" train training.seerdata
expect 1 'no/folder' "$seer" train training.seerdata -o no/folder/model.seer --ticks 4 --epochs 1
[ ! -e none.seer ] || fail 'a model of an error'
echo 'works'
