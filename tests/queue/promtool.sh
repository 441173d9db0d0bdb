#!/usr/bin/env bash
# What seer exports passes the checks of those who read it: promtool of Prometheus, and the parser
# of its Python client, which is the strict one for OpenMetrics.
#
#   promtool.sh PAGE_PROGRAM WORK_FOLDER
#
# Where the two are not installed their Debian packages are unpacked below WORK_FOLDER: installing
# prometheus would start a server. Exit status 77, which ctest shows as skipped, where they cannot be
# had: the format is also checked by a parser of our own (open_metrics_test.cc).
set -euo pipefail
page=$1
work=$2
mkdir -p "$work"

unpack() { # PACKAGE
  [ -d "$work/$1" ] && return
  if ! (cd "$work" && { apt-get -qq download "$1" || { apt-get -qq update && apt-get -qq download "$1"; }; }); then
    echo "$1 is not installed and cannot be downloaded; apt-get install --no-install-recommends $1" >&2
    exit 77
  fi
  dpkg-deb -x "$work/$1"_*.deb "$work/$1.part"
  mv "$work/$1.part" "$work/$1"
}

promtool=$(command -v promtool) || {
  unpack prometheus
  promtool=$work/prometheus/usr/bin/promtool
}
python3 -c 'import prometheus_client' 2>/dev/null || {
  unpack python3-prometheus-client
  export PYTHONPATH=$work/python3-prometheus-client/usr/lib/python3/dist-packages
}

"$page" prometheus >"$work/page.prom"
"$promtool" check metrics <"$work/page.prom"

"$page" open >"$work/page.open"
python3 - "$work/page.open" "$work/page.prom" <<'PYTHON'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

def samples(read, path):
    with open(path, encoding='utf-8', newline='') as page:
        return {(s.name, tuple(sorted(s.labels.items()))): float(s.value)
                for family in read(page.read()) for s in family.samples}

open_samples = samples(read_open, sys.argv[1])
assert open_samples == samples(read_prometheus, sys.argv[2]), 'the two formats differ'
services = {dict(labels).get('service') for _, labels in open_samples}
for name in ['cart', 'say "hi"', 'back\\slash', 'a{b="c"} 1', 'z\u00e4hl', '\u20ac', '\U0001f40c',
             '\ufffdff', '\ufffduff', '\ufffded\ufffda0\ufffd80', '\ufffdc0\ufffdaf',
             'cut \ufffde2\ufffd82']:
    assert name in services, f'{name!r} is not in {services!r}'
print(len(open_samples), 'samples')
PYTHON

# A page that is wrong is found.
if printf 'seer_queue_depth{service="say "hi""} 1\n' | "$promtool" check metrics >/dev/null 2>&1; then
  echo "promtool accepts anything" >&2
  exit 1
fi
