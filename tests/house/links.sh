#!/usr/bin/env bash
# Checks that each relative link in each document of the tree leads somewhere: the file exists and, where
# the link has an anchor, a heading of that document makes it.
#
#   links.sh ROOT
#
# Prints what is wrong, one line each; exit status 1 if anything is.
set -euo pipefail
cd "$1"

documents() {
  find . -name '*.md' -not -path './build/*' -not -path './.git/*' -not -path '*/testdata/*' | sed 's:^\./::' | sort
}
# The anchors that GitHub gives to the headings of a document.
anchors() {
  awk '
    /^[ \t]*(```|~~~)/ { fenced = !fenced; next }
    !fenced && /^#+ / {
      sub(/^#+ +/, "")
      gsub(/\]\([^)]*\)/, "]")
      $0 = tolower($0)
      gsub(/[^a-z0-9 _-]/, "")
      gsub(/ /, "-")
      print (seen[$0]++ ? $0 "-" (seen[$0] - 1) : $0)
    }' "$1"
}

status=0
while IFS=$'\t' read -r file line target; do
  case "$target" in
    *://* | mailto:*) continue ;;
  esac
  path=${target%%#*}
  anchor=
  case "$target" in *'#'*) anchor=${target#*#} ;; esac
  case "$path" in
    '') resolved=$file ;;
    /*) resolved=".$path" ;;
    *) resolved=$(dirname "$file")/$path ;;
  esac
  if [ ! -e "$resolved" ]; then
    echo "$file:$line: $target does not exist"
    status=1
  elif [ -n "$anchor" ] && [ -f "$resolved" ] && ! grep -qxF -- "$anchor" <<<"$(anchors "$resolved")"; then
    echo "$file:$line: $target: no such heading"
    status=1
  fi
done < <(documents | while read -r file; do
  awk -v file="$file" '
    /^[ \t]*(```|~~~)/ { fenced = !fenced; next }
    fenced { next }
    {
      gsub(/`[^`]*`/, "")
      rest = $0
      while (match(rest, /\]\([^) \t]+/)) {
        print file "\t" NR "\t" substr(rest, RSTART + 2, RLENGTH - 2)
        rest = substr(rest, RSTART + RLENGTH)
      }
      if (match($0, /^\[[^]]+\]:[ \t]+[^ \t]+/)) {
        split(substr($0, RSTART, RLENGTH), piece, /\]:[ \t]+/)
        print file "\t" NR "\t" piece[2]
      }
    }' "$file"
done)
exit $status
