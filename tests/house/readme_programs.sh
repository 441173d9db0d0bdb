#!/usr/bin/env bash
# The programs in the documents compile and print what the documents say.
#
# A program is a fenced block ```cpp program=NAME, followed somewhere by its output, ```text output=NAME.
# It links all of seer, or with ```cpp program=NAME components=core,trace only those.
#
#   readme_programs.sh extract ROOT OUT        writes OUT/NAME.cc, OUT/NAME.expected and OUT/programs
#                                              (lines "NAME components"); CMake runs it when it configures
#   readme_programs.sh run PROGRAM EXPECTED    runs the compiled program and compares
set -euo pipefail

extract() {
  local root=$1 out=$2
  mkdir -p "$out"
  : >"$out/programs"
  cd "$root"
  find . -name '*.md' -not -path './build/*' -not -path './.git/*' -not -path '*/testdata/*' | sed 's:^\./::' |
    sort | xargs -r awk -v out="$out" -v root="$PWD" '
    function bad(text) { print FILENAME ":" FNR ": " text > "/dev/stderr"; failed = 1 }
    function value(key,    i, n, word) {  # key=value among the words of the fence
      n = split($0, word, " ")
      for (i = 2; i <= n; i++) if (index(word[i], key "=") == 1) return substr(word[i], length(key) + 2)
      return ""
    }
    FNR == 1 && fence != "" { failed = 1; print opened ": this block is not closed" > "/dev/stderr"; fence = "" }
    fence == "" && /^```/ {
      match($0, /^`+/)
      fence = substr($0, 1, RLENGTH)
      opened = FILENAME ":" FNR
      file = ""
      if (/^`+cpp / && value("program") != "") {
        name = value("program")
        if (name !~ /^[a-z][a-z0-9_]*$/) bad("a program is named like_this")
        if (name in program) bad("a second program " name)
        program[name] = opened
        components[name] = value("components")
        file = out "/" name ".cc"
        printf "#line %d \"%s/%s\"\n", FNR + 1, root, FILENAME > file
      } else if (/^`+text / && value("output") != "") {
        name = value("output")
        if (name in output) bad("a second output of " name)
        output[name] = opened
        file = out "/" name ".expected"
        printf "" > file
      }
      next
    }
    fence != "" && $0 == fence { fence = ""; if (file != "") close(file); next }
    fence != "" && file != "" { print > file }
    END {
      if (fence != "") { print opened ": this block is not closed" > "/dev/stderr"; failed = 1 }
      for (name in program) {
        if (!(name in output)) { print program[name] ": no block says what " name " prints" > "/dev/stderr"; failed = 1 }
        list = components[name]
        gsub(/,/, " ", list)
        print name, list > (out "/programs")
      }
      for (name in output)
        if (!(name in program)) { print output[name] ": no program " name > "/dev/stderr"; failed = 1 }
      exit failed
    }'
}

run() {
  actual=$(mktemp)  # not local: the trap runs after the function
  trap 'rm -f "$actual"' EXIT
  "$1" >"$actual" || {
    echo "$1 exits with $?"
    exit 1
  }
  diff -u --label 'the document says' --label 'the program prints' "$2" "$actual"
}

case "${1:-}" in
  extract | run) "$@" ;;
  *)
    echo "usage: readme_programs.sh extract ROOT OUT | run PROGRAM EXPECTED" >&2
    exit 2
    ;;
esac
