#!/usr/bin/env bash
# Checks that a library whose kernels are chosen at run time holds no instruction that the oldest
# processor lacks, but in the objects made for newer ones; and that those define nothing that a
# linker could take instead of another object's: a function of a header, compiled for AVX-512 there.
#
#   instructions.sh LIBRARY [WHAT]       WHAT: as if this object were for every processor
#
# Prints what is wrong, one line each; exit status 1 if anything is, 2 if the library cannot be read.
set -euo pipefail
library=$(realpath "$1")
pretend=${2:-nothing}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
ar x "$library" || exit 2
ls ./*.o >/dev/null 2>&1 || { echo "$library: no objects"; exit 2; }
status=0 newer=0
for object in *.o; do
  case "$object" in
    "$pretend"*) ;;
    *_v3.cc.o | *_v4.cc.o)
      newer=$((newer + 1))
      # Weak symbols and unique ones are those of which the linker keeps any: their names have to
      # tell the set. DW.ref is no code.
      set=${object%.cc.o}
      shared=$(nm "$object" | awk -v set="[Vv]${set##*_v}" \
        '$2 ~ /^[WVu]$/ && $3 !~ /^DW\.ref/ && $3 !~ set { print $3 }')
      if [ -n "$shared" ]; then
        echo "$object defines $(sed -n 1p <<<"$shared"), as other objects may: of an instruction set"
        status=1
      fi
      continue
      ;;
  esac
  # Every instruction of AVX and later begins with a v, and none of before but these.
  found=$(objdump -d --no-show-raw-insn "$object" |
    awk -F '\t' '{ split($2, word, " "); name = word[1] }
      /^[0-9a-f]+ </ { where = $1 }
      name ~ /^v/ && name !~ /^(verr|verw|vmcall|vmlaunch|vmresume|vmxoff|vmfunc)$/ { if (!found) print name, where; found = 1 }')
  if [ -n "$found" ]; then
    echo "$object has $found that not every processor has"
    status=1
  fi
done
[ "$newer" -gt 0 ] || { echo "$library: no object for a newer processor"; exit 2; }
exit $status
