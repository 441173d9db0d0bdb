#!/usr/bin/env bash
# Checks that no library of seer can print, end the process or read the environment: none of the
# functions that do so is an undefined symbol of it.
#
#   symbols.sh allow-assert|no-assert NM LIBRARY...      allow-assert: a build with assertions
#
# Prints what is wrong, one line each; exit status 1 if anything is, 2 if a library cannot be read.
set -euo pipefail
asserts=$1
nm=$2
shift 2

status=0
for library in "$@"; do
  dynamic=()
  case "$library" in *.so | *.so.*) dynamic=(--dynamic) ;; esac
  symbols=$("$nm" ${dynamic[@]+"${dynamic[@]}"} "$library") || exit 2
  # An archive without any symbol was not read or not built: nothing was checked.
  [ -n "$symbols" ] || { echo "$library: no symbols"; exit 2; }
  printf '%s\n' "$symbols" | awk -v library="$library" -v asserts="$asserts" '
    BEGIN {
      n = split("printf puts putchar fprintf vprintf vfprintf dprintf vdprintf fputs fputc putc fwrite perror " \
                "__printf_chk __fprintf_chk __vprintf_chk __vfprintf_chk __dprintf_chk stdout stderr syslog " \
                "abort exit _exit _Exit quick_exit getenv secure_getenv setenv unsetenv putenv " \
                "_ZSt4cout _ZSt4cerr _ZSt4clog _ZSt5wcout _ZSt5wcerr", names, " ")
      for (i = 1; i <= n; i++) banned[names[i]] = 1
      if (asserts != "allow-assert") banned["__assert_fail"] = 1
    }
    /:$/ { member = substr($0, 1, length($0) - 1) }
    NF >= 2 && $(NF - 1) == "U" {
      name = $NF
      sub(/@.*/, "", name)
      if (name in banned) { print library ": " member " uses " name; failed = 1 }
    }
    END { exit failed }' || status=1
done
exit $status
