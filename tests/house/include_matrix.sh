#!/usr/bin/env bash
# Checks every #include in the tree, and DEPENDS in CMake, against the table in
# include/seer/README.md, which is the only place where the matrix is written down.
#
#   include_matrix.sh ROOT [DECLARED]      DECLARED: lines "library dependency...", from CMake
#
# Prints what is wrong, one line each; exit status 1 if anything is.
set -euo pipefail
root=$1
declared=${2:-/dev/null}
readme=include/seer/README.md
cd "$root"

folders() { for d in include/seer/*/ src/*/; do [ ! -d "$d" ] || printf '%s\n' "${d%/}"; done; }
sources() {
  find include src tests examples benchmarks \( -name '*.h' -o -name '*.cc' -o -name '*.cpp' \) \
    -not -path '*/testdata/*' 2>/dev/null | sort
}
includes() { sources | xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include' || true; }

{
  cat "$readme"
  echo '@folders'
  folders
  echo '@declared'
  cat "$declared"
  echo '@includes'
  includes
} | awk -v readme="$readme" '
  function bad(text) { print text; failed = 1 }
  function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
  function has(list, word) { return index(" " list " ", " " word " ") > 0 }

  # Third-party headers that no public header may show, and the one room that may.
  BEGIN {
    split("Eigen/ unsupported/Eigen/ oneapi/ dnnl thrift/ boost/ zstd zlib.h simdjson " \
          "opentracing/ google/protobuf/ gtest/ gmock/ benchmark/", hidden_list, " ")
    exception["thrift/"] = "thrift"
    exception["opentracing/"] = "trace"
  }

  /^@(folders|declared|includes)$/ {
    if (part == "") check_table()
    part = substr($0, 2)
    next
  }

  # ---- the table: | folder | may include | links | kind |
  part == "" && /^\|/ {
    n = split($0, cell, "|")
    first = trim(cell[2])
    if (first ~ /^folder/) { in_table = 1; next }
    if (!in_table || first ~ /^[-: ]*$/) next
    gsub(/`/, "", first)
    may = trim(cell[3])
    gsub(/[`,]/, " ", may)
    gsub(/[ \t]+/, " ", may)
    may = trim(may)
    if (may == "-") may = ""
    if (first in row) bad(readme ": two rows for " first)
    row[first] = may
    rows++
    order[rows] = first
    next
  }
  part == "" { in_table = 0; next }

  function check_table(    i, j, n, word, seen) {
    if (rows == 0) bad(readme ": no table with the columns | folder | may include |")
    for (i = 1; i <= rows; i++) {
      n = split(row[order[i]], word, " ")
      # Rows stand in the order of the flow: a room includes only rooms above it, so no cycles.
      for (j = 1; j <= n; j++)
        if (!(word[j] in seen)) bad(readme ": " order[i] " may include " word[j] ", which is no row above it")
      seen[order[i]] = 1
    }
  }

  part == "folders" {
    n = split($0, piece, "/")
    room = piece[n]
    if ($0 == "src/cmake") next
    if (!(room in row)) bad($0 ": no row for " room " in " readme)
    next
  }

  # A library room_x is a further target of the room; it may depend on the room too.
  part == "declared" {
    library = room = $1
    if (!(room in row)) sub(/_.*/, "", room)
    if (!(room in row)) { bad("CMake: no row for " library " in " readme); next }
    depends = $0
    sub(/^[^ ]+ */, "", depends)
    for (i = 2; i <= NF; i++)
      if (!has(row[room], $i) && !(library != room && $i == room))
        bad("CMake: " library " DEPENDS on " $i ", which the row of " room " in " readme " does not allow")
    if (library != room) next
    n = split(row[room], word, " ")
    for (i = 1; i <= n; i++)
      if (!has(depends, word[i]))
        bad("CMake: " room " does not DEPEND on " word[i] ", which its row in " readme " names")
    next
  }

  # ---- file:line:#include <path>
  part == "includes" {
    split($0, piece, ":")
    file = piece[1]
    where = piece[1] ":" piece[2] ": "
    if (!match($0, /[<"][^>"]*[>"]/)) { bad(where "an #include that names no file"); next }
    quoted = substr($0, RSTART, 1) == "\""
    path = substr($0, RSTART + 1, RLENGTH - 2)

    split(file, piece, "/")
    kind = piece[1]
    public = file ~ /^include\/seer\//
    room = public ? piece[3] : piece[2]
    library = public || kind == "src"
    # Tests and benchmarks of a room may look inside it, fuzzers inside every room; nobody else may.
    insider = library || ((kind == "tests" || kind == "benchmarks") && (room in row)) ? room : ""
    if (file ~ /^tests\/fuzz\//) insider = "*"

    if (path ~ /\.\.\//) bad(where "a path with ../")

    if (path ~ /^seer\//) {
      split(path, piece, "/")
      other = piece[2]
      if (!(other in row)) bad(where "seer/" other " has no row in " readme)
      else if (library && other != room && !has(row[room], other))
        bad(where room " may not include " other " (" readme ")")
      # The internals of core serve all rooms; those of another room serve that room alone.
      if (path ~ /\/internal\// && other != insider && insider != "*" && !(other == "core" && insider != ""))
        bad(where "the internals of " other " are its own")
      if (!quoted) bad(where "seer headers are included with quotes")
    } else if (quoted && split(path, piece, "/") > 1 && (piece[1] in row)) {
      # src/<room>/x.h, written <room>/x.h
      if (piece[1] != insider && insider != "*") bad(where "src/" piece[1] " is private to " piece[1])
      if (public) bad(where "a public header cannot include a private one: it is not installed")
    } else if (public && quoted && path !~ /^absl\//) {
      bad(where "public headers include seer/... and absl/... with quotes, the rest with <>")
    }
    if (public)
      for (i in hidden_list)
        if (index(path, hidden_list[i]) == 1 && exception[hidden_list[i]] != room)
          bad(where "public headers of " room " do not show " path)
  }
  END { exit failed }'
