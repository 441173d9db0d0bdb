#!/usr/bin/env bash
# Compiles the kernels for another architecture and compares them there with plain loops
# (kernels_check.cc): on an ARM processor the vectors of the first set are NEON's.
#
#   other_architecture.sh SOURCE_DIR COMPILER RUNNER [INSTRUCTION]
#
# RUNNER: qemu-aarch64. INSTRUCTION: has to be among those of the object. Exit status 1 if anything
# is wrong.
set -euo pipefail
source=$1 compiler=$2 runner=$3 instruction=${4:-}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-std=c++17 -static -I"$source/include" -I"$source/src")
# As src/nn/CMakeLists.txt has it.
"$compiler" "${flags[@]}" -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -c \
  "$source/src/nn/kernels_baseline.cc" -o "$folder/kernels.o"
if [ -n "$instruction" ]; then
  "${compiler/%g++/objdump}" -d --no-show-raw-insn "$folder/kernels.o" >"$folder/text"
  grep -qE "$instruction" "$folder/text" || {
    echo "no $instruction in the object of kernels_baseline.cc: the loops are not in vectors"
    exit 1
  }
fi
"$compiler" "${flags[@]}" -O1 "$source/tests/nn/kernels_check.cc" "$folder/kernels.o" \
  -o "$folder/kernels_check"
"$runner" "$folder/kernels_check"
