# What benchmarks/run and benchmarks/run-evaluation share: figures, one JSON object a line, as a table
# and as one JSON document. Source it from the top of the tree, after a release build.

# seer_print_figures <figures> <expected>: a table; ids of the second file (one a line) that were not
# measured are shown too. The second file may be missing.
seer_print_figures() {
  # A flat JSON object per line; get() takes one field of it, without the quotes of a string.
  awk -v expected="$2" '
    function get(key,    rest) {
      if (!match($0, "\"" key "\"[ \t]*:[ \t]*")) return ""
      rest = substr($0, RSTART + RLENGTH)
      if (match(rest, /^"([^"\\]|\\.)*"/)) return substr(rest, 2, RLENGTH - 2)
      if (match(rest, /^[^,} \t]+/)) return substr(rest, 1, RLENGTH)
      return ""
    }
    function number(text) {
      if (text == "" || text == "null") return "-"
      text += 0
      return text >= 1000 || text <= -1000 ? sprintf("%.0f", text) : sprintf("%.4g", text)
    }
    function line(id, measured, interval, peer, goal) {
      width = length(id) > width ? length(id) : width
      rows[++row_count] = id SUBSEP measured SUBSEP interval SUBSEP peer SUBSEP goal
    }
    BEGIN {
      while ((getline text < expected) > 0) {
        sub(/#.*/, "", text)
        sub(/[ \t]+$/, "", text)
        if (text == "") continue
        wanted[text] = 1
        order[++count] = text
      }
      width = 28
      line("figure", "measured", "interval", "peer", "goal")
    }
    /^[ \t]*\{/ {
      id = get("id")
      delete wanted[id]
      interval = get("low") == "" ? "-" : number(get("low")) " .. " number(get("high"))
      line(id, number(get("value")) " " get("unit"), interval, get("peer"), get("goal"))
    }
    END {
      for (i = 1; i <= count; i++) {
        if (order[i] in wanted) line(order[i], "not measured", "-", "", "")
      }
      printf "\n"
      for (i = 1; i <= row_count; i++) {
        split(rows[i], cell, SUBSEP)
        printf "%-" width "s %14s   %-21s  %-26s  %s\n", cell[1], cell[2], cell[3], cell[4], cell[5]
      }
      printf "\n"
    }' "$1"
}

# Sets seer_commit, seer_compiler, seer_cpu and seer_memory_mib, and prints them.
seer_machine() {
  seer_commit=unknown
  if command -v git >/dev/null 2>&1 && seer_commit=$(git rev-parse HEAD 2>/dev/null); then
    [ -z "$(git status --porcelain 2>/dev/null)" ] || seer_commit="$seer_commit+dirty"
  else
    seer_commit=unknown
  fi
  seer_compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/release/CMakeCache.txt)
  seer_compiler=$("$seer_compiler" --version | sed -n 1p)
  seer_cpu=$(awk -F': ' '/^model name/ && !seen++ { print $2 }' /proc/cpuinfo)
  seer_memory_mib=$(awk '/^MemTotal:/ { printf "%d", $2 / 1024 }' /proc/meminfo)
  printf 'machine: %s, %s cores, %s MiB, Linux %s, %s\ncommit:  %s\n' \
    "$seer_cpu" "$(nproc)" "$seer_memory_mib" "$(uname -r)" "$seer_compiler" "$seer_commit"
}

# seer_figures_json <figures> <file>: after seer_machine.
seer_figures_json() {
  {
    printf '{"machine": {"cpu": %s, "cores": %s, "memory_mib": %s, "kernel": %s, "compiler": %s},\n' \
      "$(_seer_quote "$seer_cpu")" "$(nproc)" "$seer_memory_mib" "$(_seer_quote "$(uname -r)")" \
      "$(_seer_quote "$seer_compiler")"
    printf ' "commit": %s,\n "figures": [' "$(_seer_quote "$seer_commit")"
    awk '/^[ \t]*\{/ { printf "%s\n  %s", n++ ? "," : "", $0 }' "$1"
    printf '\n ]}\n'
  } >"$2"
  seer_say "wrote $2"
}
_seer_quote() { printf '%s' "$1" | awk '{ gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); printf "\"%s\"", $0 }'; }
