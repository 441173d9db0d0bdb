# What the run scripts share. Source it from the top of the tree:
#
#   . src/cmake/debian.sh
#   seer_need cmake@cmake libabsl-dev       # installs what is missing, or says how to
#   seer_use_ccache                         # where it is installed
#
# Written for bash. Does nothing, in milliseconds, when nothing is missing.

seer_say() { printf 'seer: %s\n' "$*"; }
seer_die() {
  printf 'seer: %s\n' "$*" >&2
  exit 1
}

# seer_need <package | command@package>...
#
# Installs the Debian packages that are not there yet. With `command@package` a command of that name
# is enough, wherever it came from (Kitware's cmake in /usr/local, say). Exits with the line to type
# when it cannot install by itself.
seer_need() {
  local item packages=() missing=()
  for item in "$@"; do
    case "$item" in
      *@*) command -v "${item%%@*}" >/dev/null 2>&1 || packages+=("${item#*@}") ;;
      *) packages+=("$item") ;;
    esac
  done
  [ ${#packages[@]} -gt 0 ] || return 0
  if ! command -v dpkg-query >/dev/null 2>&1; then
    seer_say "not a Debian system: make sure by hand that these are installed: ${packages[*]}"
    return 0
  fi

  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  for item in "${packages[@]}"; do
    case $'\n'"$installed"$'\n' in
      *$'\n'"$item"$'\n'*) ;;
      *) missing+=("$item") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local by_hand="sudo apt-get install ${missing[*]}"
  command -v apt-get >/dev/null 2>&1 || seer_die "missing: ${missing[*]}, and there is no apt-get here"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
      seer_die "missing packages, and neither root nor sudo to install them. As root: ${by_hand#sudo }"
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n)  # nobody there to type a password
  fi

  seer_say "installing Debian packages: ${missing[*]}"
  local log status=0
  log=$(mktemp)
  # With the package lists at hand first; only if that fails are they fetched anew.
  _seer_apt install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 || {
    _seer_apt update >>"$log" 2>&1 || true  # a dead third-party source must not stop us
    _seer_apt install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1
  } || status=$?
  if [ $status -ne 0 ]; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    seer_die "could not install them (above: the end of apt-get's output). By hand: $by_hand"
  fi
  rm -f "$log"
}

# Uses `as_root` of seer_need. env: sudo does not pass our environment on.
_seer_apt() {
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# CMake reads this variable the first time it configures a build folder.
seer_use_ccache() {
  if [ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ] && command -v ccache >/dev/null 2>&1; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache
    # Or it would not cache what uses the tests' precompiled header.
    export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
    # Build folders share what they compile alike: sources are named by their whole path.
    export CCACHE_NOHASHDIR=1
  fi
}

# seer_quietly <log file> <command...>: shows the output only if the command fails.
seer_quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || {
    local status=$?
    cat "$log" >&2
    return $status
  }
}

# What every build of seer needs on a bare machine.
SEER_BUILD_PACKAGES=(cmake@cmake ninja@ninja-build g++@g++ pkg-config@pkg-config libabsl-dev libeigen3-dev
  libsimdjson-dev libzstd-dev zlib1g-dev)
# Services of Thrift, and their generated code.
SEER_THRIFT_PACKAGES=(libthrift-dev libboost-dev thrift@thrift-compiler libevent-dev)
# What the tests need besides. Without the last ones the tests of optional parts are left out:
# libprotobuf judges the OTLP that seer writes, python3 runs an example, CLI11 is the tool's, OpenSSL is
# for services over TLS.
SEER_TEST_PACKAGES=(libgtest-dev libgmock-dev libprotobuf-dev protobuf-compiler python3@python3
  libcli11-dev libopentracing-dev libxgboost-dev libdnnl-dev libssl-dev "${SEER_THRIFT_PACKAGES[@]}")
