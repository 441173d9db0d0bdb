#!/usr/bin/env bash
# A check that cannot fail checks nothing: builds small trees with one mistake each and expects the check
# to name it, and one without mistakes that has to pass.
#
#   selftest.sh <check>      include_matrix, sources, links, symbols, readme or debian
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cases=0

write() { # write FILE: standard input into the tree
  mkdir -p "$tree/$(dirname "$1")"
  cat >"$tree/$1"
}
# fails 'PART OF THE MESSAGE' command...
fails() {
  local message=$1 output
  shift
  cases=$((cases + 1))
  if output=$("$@" 2>&1); then
    printf 'case %d passes, but should say: %s\n' $cases "$message"
    exit 1
  fi
  case "$output" in
    *"$message"*) ;;
    *)
      printf 'case %d fails for another reason than: %s\n%s\n' $cases "$message" "$output"
      exit 1
      ;;
  esac
}
passes() {
  local output
  cases=$((cases + 1))
  output=$("$@" 2>&1) || {
    printf 'case %d should pass, but says:\n%s\n' $cases "$output"
    exit 1
  }
}
good_tree() {
  rm -rf "${tree:?}"/*
  write include/seer/README.md <<'END'
| value | what |
|---|---|
| `Span` | nothing |

| folder | may include | links |
|---|---|---|
| `core` | - | - |
| `queue` | `core` | - |
| `thrift` | `core` `queue` | Thrift |
| `nn` | `core` | - |
END
  write include/seer/core/a.h <<'END'
// Flow: (every stage) a
#pragma once
#include <string>
#include "absl/status/status.h"
END
  write include/seer/core/internal/i.h <<<$'// Flow: (internal) i\n#pragma once'
  write include/seer/queue/q.h <<<$'// Flow: a -> [q]\n#pragma once\n#include "seer/core/a.h"\n#include "seer/core/internal/i.h"'
  write include/seer/thrift/t.h <<<$'// Flow: q -> [t]\n#pragma once\n#include <thrift/Thrift.h>\n#include "seer/queue/q.h"'
  write src/core/a.cc <<<$'#include "seer/core/a.h"\n#include "core/private.h"\n// std::cout << "fine here"; abort();\nvoid F(char* b) { snprintf(b, 1, "printf("); }'
  write src/core/private.h <<<'#pragma once'
  write tests/core/a_test.cc <<<$'#include "core/private.h"\n#include "seer/core/internal/i.h"'
  write tests/core/CMakeLists.txt <<<'seer_add_test(core a_test.cc)'
  write tests/fuzz/a_fuzz.cc <<<$'#include "core/private.h"\n#include "seer/core/internal/i.h"'
  write examples/demo/main.cc <<<'#include "seer/queue/q.h"'
}

include_matrix() {
  check() { "$here/include_matrix.sh" "$tree" "$tree/declared"; }
  reset() {
    good_tree
    write declared <<<$'core\nqueue core\nthrift core queue\nnn core\nnn_onednn core nn'
  }
  one() { # one 'MESSAGE' FILE: standard input is appended to FILE of a good tree
    mkdir -p "$(dirname "$tree/$2")"
    cat >>"$tree/$2"
    fails "$1" check
    reset
  }
  reset
  passes check
  one 'core may not include queue' include/seer/core/a.h <<<'#include "seer/queue/q.h"'
  one 'core may not include queue' src/core/a.cc <<<'  #  include "seer/queue/q.h"  // sorry'
  one 'queue may not include thrift' include/seer/queue/q.h <<<'#include <seer/thrift/t.h>'
  one 'seer/nope has no row' include/seer/queue/q.h <<<'#include "seer/nope/x.h"'
  one 'with quotes' include/seer/queue/q.h <<<'#include <seer/core/a.h>'
  one 'public headers of queue do not show thrift/Thrift.h' include/seer/queue/q.h <<<'#include <thrift/Thrift.h>'
  one 'do not show Eigen/Core' include/seer/core/a.h <<<'#include <Eigen/Core>'
  one 'do not show oneapi/dnnl/dnnl.hpp' include/seer/core/a.h <<<'#include <oneapi/dnnl/dnnl.hpp>'
  one 'src/core is private to core' examples/demo/main.cc <<<'#include "core/private.h"'
  one 'src/core is private to core' tests/consumers/demo/main.cc <<<'#include "core/private.h"'
  one 'a public header cannot include a private one' include/seer/core/a.h <<<'#include "core/private.h"'
  one 'public headers include seer/' include/seer/core/a.h <<<'#include "b.h"'
  one 'the internals of core are its own' examples/demo/main.cc <<<'#include "seer/core/internal/i.h"'
  one '../' src/core/a.cc <<<'#include "../queue/q.h"'
  one 'CMake: no row for act' declared <<<'act core'
  write include/seer/queue/internal/j.h <<<$'// Flow: (internal) j\n#pragma once'
  one 'the internals of queue are its own' include/seer/thrift/t.h <<<'#include "seer/queue/internal/j.h"'
  write include/seer/window/w.h <<<$'// Flow: w\n#pragma once'
  fails 'include/seer/window: no row for window' check
  reset
  write declared <<<$'core\nqueue core nn'
  fails 'queue DEPENDS on nn, which the row' check
  write declared <<<$'core\nqueue core\nthrift core'
  fails 'thrift does not DEPEND on queue' check
  reset
  sed -i 's/| `core` | -/| `core` | `queue`/' "$tree/include/seer/README.md"
  fails 'core may include queue, which is no row above it' check
  write include/seer/README.md <<<'no table'
  fails 'no table' check
}

sources() {
  check() { "$here/sources.sh" "$tree" "$tree/listed"; }
  reset() {
    good_tree
    (cd "$tree" && find include src tests -name '*.h' -o -name '*.cc' | sort >listed)
    for room in queue thrift; do write tests/$room/CMakeLists.txt <<<''; done
  }
  reset
  passes check
  printf 'int caf\303\251;\n' >>"$tree/src/core/a.cc"
  fails 'src/core/a.cc:5: not ASCII' check
  reset
  for _ in {1..601}; do echo; done | write tests/core/a_test.cc
  fails 'tests/core/a_test.cc: 601 lines' check
  reset
  sed -i 1d "$tree/include/seer/core/a.h"
  fails "include/seer/core/a.h:1: the first line is not" check
  reset
  sed -i '/pragma/d' "$tree/include/seer/core/a.h"
  fails 'include/seer/core/a.h: no #pragma once' check
  for line in 'std::cout << 1;' 'printf("x");' '  std::abort();' 'if (x) exit(1);' 'x = getenv("HOME");' \
    'fprintf(f, "x");' 'fwrite(p, 1, 1, stdout);' '#include <iostream>'; do
    reset
    echo "$line" >>"$tree/include/seer/core/a.h"
    fails 'include/seer/core/a.h:5: the library does not print' check
  done
  reset
  write src/core/forgotten.cc <<<''
  fails 'src/core/forgotten.cc: no CMakeLists.txt lists it' check
  reset
  write include/seer/core/forgotten.h <<<$'// Flow: x\n#pragma once'
  fails 'include/seer/core/forgotten.h: no CMakeLists.txt lists it' check
  reset
  write tests/core/forgotten_test.cc <<<''
  fails 'tests/core/forgotten_test.cc: no CMakeLists.txt lists it' check
  reset
  rm -r "$tree/tests/queue"
  fails 'tests/queue: the room has no tests' check
}

links() {
  check() { "$here/links.sh" "$tree"; }
  reset() {
    rm -rf "${tree:?}"/*
    write docs/README.md <<<$'# Two words, `code` and more!\n\n[up](../README.md#top_level-1) [web](https://example.com/x)\n```\n[not a link](nowhere)\n# not a heading\n```\n`[code](nowhere)`'
    write README.md <<<$'# Top_level\n# Top_level\n[a](docs/README.md) [b](docs/) [c](docs/README.md#two-words-code-and-more) [d](#top_level)\n\n[ref]: docs/README.md'
  }
  reset
  passes check
  for target in missing.md docs/missing.md 'docs/README.md#not-a-heading' '#nope' '/missing'; do
    reset
    printf '\ntext [x](%s) text\n' "$target" >>"$tree/README.md"
    fails "README.md:7: $target" check
  done
  reset
  echo '[ref]: missing.md' >>"$tree/README.md"
  fails 'README.md:6: missing.md' check
}

symbols() {
  local cxx=${CXX:-c++} nm=${NM:-nm} body
  archive() { # archive: standard input is the source
    "$cxx" -x c++ -c -o "$tree/x.o" - && rm -f "$tree/libx.a" && ar rc "$tree/libx.a" "$tree/x.o"
  }
  archive <<<$'#include <cstdio>\nint F(char* b, int n) { return std::snprintf(b, 9, "%d", n); }'
  passes "$here/symbols.sh" no-assert "$nm" "$tree/libx.a"
  for body in 'printf("%d", x)' 'puts("x")' 'fputs("x", stderr)' 'abort()' 'exit(x)' '_exit(x)' 'quick_exit(x)' \
    'getenv("x")'; do
    archive <<<$'#include <cstdio>\n#include <cstdlib>\n#include <unistd.h>\n'"void F(int x) { (void)x; (void)$body; }"
    fails 'libx.a: x.o uses' "$here/symbols.sh" no-assert "$nm" "$tree/libx.a"
  done
  archive <<<$'#include <iostream>\nvoid F(int x) { std::cerr << x; }'
  fails 'uses _ZSt4cerr' "$here/symbols.sh" no-assert "$nm" "$tree/libx.a"
  archive <<<$'#undef NDEBUG\n#include <cassert>\nvoid F(int x) { assert(x); }'
  fails 'uses __assert_fail' "$here/symbols.sh" no-assert "$nm" "$tree/libx.a"
  passes "$here/symbols.sh" allow-assert "$nm" "$tree/libx.a"
  fails '' "$here/symbols.sh" no-assert "$nm" "$tree/missing.a"
}

readme() {
  extract() { "$here/readme_programs.sh" extract "$tree" "$tree/out"; }
  document() { # document PROGRAM OUTPUT
    rm -rf "${tree:?}"/*
    printf '# A\n```cpp program=hello components=core,nn\n%s\n```\nprints\n```text output=hello\n%s\n```\n' "$1" "$2" |
      write README.md
  }
  local hello=$'#include <cstdio>\nint main() { std::puts("hello"); }'
  run() {
    extract && "${CXX:-c++}" -o "$tree/hello" "$tree/out/hello.cc" &&
      "$here/readme_programs.sh" run "$tree/hello" "$tree/out/hello.expected"
  }
  document "$hello" hello
  passes run
  [ "$(cat "$tree/out/programs")" = 'hello core nn' ]
  document "$hello" goodbye
  fails '+hello' run
  document "$hello" $'hello\nagain'
  fails '-again' run
  document 'int main() { return 3; }' ''
  fails 'exits with 3' run
  document 'int main() { nonsense; }' ''
  fails 'README.md:3' run  # the compiler speaks of the document, not of the extracted file
  document "$hello" hello
  sed -i 's/output=hello/output=hullo/' "$tree/README.md"
  fails 'no block says what hello prints' extract
  fails 'no program hullo' extract
  document "$hello" hello
  cat "$tree/README.md" | write b/README.md
  fails 'a second program hello' extract
  document "$hello" hello
  sed -i '$d' "$tree/README.md"
  fails 'not closed' extract
}

# Not a check of the tree but what tests/run and the others install packages with: with a dpkg and an apt
# that only write down what they are asked.
debian() {
  local log=$tree/log
  fake() { # fake COMMAND: standard input is its body
    { echo '#!/bin/bash'; cat; } | write "bin/$1"
    chmod +x "$tree/bin/$1"
  }
  machine() { # machine PACKAGE...: these are installed
    rm -rf "${tree:?}"/*
    local package
    {
      echo 'shift 3'
      for package in "$@"; do
        echo "case \" \$* \" in *' $package '*) echo 'installed $package' ;; esac"
      done
      echo 'exit 1'  # as dpkg-query does when it does not know one of them
    } | fake dpkg-query
    fake apt-get <<END
echo "apt-get \$*" >>$log
case "\$*" in
  *update*) touch $tree/lists ;;
  *install*) [ ! -e $tree/stale ] || [ -e $tree/lists ] ;;
esac
END
    fake id <<<'echo 0'
    fake sudo <<<"echo \"sudo \$*\" >>$log; [ \"\$1\" != -n ] || shift; exec \"\$@\""
    : >"$log"
  }
  need() { PATH=$tree/bin:$PATH bash -euo pipefail -c '. "$0"; seer_need "$@"' "$here/../../src/cmake/debian.sh" "$@"; }
  logged() { # logged 'LINE' of the log
    cases=$((cases + 1))
    grep -qF -- "$1" "$log" || { printf 'case %d: no "%s" in\n' $cases "$1"; cat "$log"; exit 1; }
  }
  machine libabsl-dev ninja-build
  passes need libabsl-dev ninja-build bash@nothing
  [ ! -s "$log" ] || { echo 'nothing was missing, and yet:'; cat "$log"; exit 1; }
  passes need libabsl-dev libgtest-dev no-such-command@libgmock-dev
  logged 'install -y --no-install-recommends libgtest-dev libgmock-dev'
  ! grep -q -e update -e sudo "$log" || { echo 'neither update nor sudo was needed'; exit 1; }
  machine
  touch "$tree/stale"  # the package lists are: installing fails until they are fetched
  passes need libabsl-dev
  logged 'update'
  machine
  fake apt-get <<<'echo "E: no network"; exit 100'
  fails 'By hand: sudo apt-get install libabsl-dev' need libabsl-dev
  fails 'E: no network' need libabsl-dev
  machine
  fake id <<<'echo 1000'
  passes need libabsl-dev
  logged 'sudo -n env DEBIAN_FRONTEND=noninteractive apt-get'
  machine
  fake id <<<'echo 1000'
  rm "$tree/bin/sudo"
  for command in bash sed mktemp rm tail cat env touch; do ln -s "$(command -v $command)" "$tree/bin/$command"; done
  fails 'neither root nor sudo' env PATH="$tree/bin" bash -euc '. "$0"; seer_need libabsl-dev' \
    "$here/../../src/cmake/debian.sh"
}

case "${1:-}" in
  include_matrix | sources | links | symbols | readme | debian) ;;
  *)
    echo "usage: selftest.sh include_matrix|sources|links|symbols|readme|debian" >&2
    exit 2
    ;;
esac
"$1"
printf '%s: %d cases\n' "$1" $cases
