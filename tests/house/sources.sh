#!/usr/bin/env bash
# Checks what every source file has to keep to (CONTRIBUTING.md), and that CMake knows every file.
#
#   sources.sh ROOT [LISTED]      LISTED: the headers, sources and tests that CMake builds, one path a line
#
# Prints what is wrong, one line each; exit status 1 if anything is.
set -euo pipefail
root=$1
listed=${2:-}
[ -z "$listed" ] || listed=$(realpath "$listed")
cd "$root"
max_lines=600

findings=$(
  sources=$(find include src tests examples benchmarks \( -name '*.h' -o -name '*.cc' -o -name '*.cpp' \) \
    -not -path '*/testdata/*' 2>/dev/null | sort)
  text=$(find CMakeLists.txt include src tests examples benchmarks .ci -type f \
    \( -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o -name 'CMakeLists.txt' -o -name '*.cmake' \
    -o -name '*.in' -o -name '*.sh' -o -name run \) -not -path '*/testdata/*' 2>/dev/null | sort)

  # Bytes outside ASCII: they look alike on the screen and differ in a search. Documents may have them.
  printf '%s\n' "$text" | xargs -r env LC_ALL=C grep -nHE '[^ -~[:space:]]' |
    awk -F: '{ print $1 ":" $2 ": not ASCII" }'

  printf '%s\n' "$sources" | while read -r file; do
    [ -n "$file" ] || continue
    lines=$(wc -l <"$file")
    [ "$lines" -le $max_lines ] || echo "$file: $lines lines; above $max_lines a file has more than one subject"
  done

  for header in $(find include/seer -name '*.h' 2>/dev/null | sort); do
    case "$(head -n 1 "$header")" in
      '// Flow: '?*) ;;
      *) echo "$header:1: the first line is not '// Flow: ...'" ;;
    esac
    grep -q '^#pragma once$' "$header" || echo "$header: no #pragma once"
  done

  # The same rule as house.symbols, for what lives in headers: the library never prints, ends the
  # process or reads the environment. Comments and strings do not count.
  find include/seer src -name '*.h' -o -name '*.cc' | sort | while read -r file; do
    sed -E 's://.*$::; s/"([^"\\]|\\.)*"/""/g' "$file" | awk -v file="$file" '
      /(^|[^A-Za-z0-9_:.>])(std::|::)?(printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|abort|exit|_exit|_Exit|quick_exit|getenv|secure_getenv|setenv)[ \t]*\(/ ||
      /std::(cout|cerr|clog|printf|puts)([^A-Za-z0-9_]|$)/ || /(^|[^A-Za-z0-9_])(stdout|stderr)([^A-Za-z0-9_]|$)/ ||
      /#[ \t]*include[ \t]*<iostream>/ {
        print file ":" NR ": the library does not print, end the process or read the environment"
      }'
  done

  # A header that CMake does not list is not installed, a test that it does not list never runs.
  if [ -n "$listed" ]; then
    { find include/seer src -name '*.h' -path 'include/*' -o -name '*.cc'
      find tests -name '*_test.cc' -not -path '*/testdata/*' -not -path 'tests/consumers/*'; } 2>/dev/null |
      sort | while read -r file; do
      grep -qxF "$file" "$listed" || echo "$file: no CMakeLists.txt lists it"
    done
    for room in include/seer/*/; do
      room=$(basename "$room")
      [ -e "tests/$room/CMakeLists.txt" ] || echo "tests/$room: the room has no tests"
    done
  fi
)
[ -z "$findings" ] || { printf '%s\n' "$findings"; exit 1; }
