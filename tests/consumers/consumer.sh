#!/usr/bin/env bash
# Uses seer as hosts do: installs the build into an empty prefix, then configures, builds and runs small
# programs against it, with everything hidden that they must not need.
#
#   consumer.sh SETTINGS CASE        CASE: a function below; SETTINGS: written by CMake
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$1"
case_name=$2
out=$work/$case_name
rm -rf "$out"
mkdir -p "$out"

# ---- What a host must not need unless its role allows it: package, a header of it, its library.
hideable='
Thrift      thrift/Thrift.h            libthrift
Boost       boost/version.hpp          libboost
Eigen3      Eigen/Core                 libeigen
DNNL        oneapi/dnnl/dnnl.hpp       libdnnl
dnnl        dnnl.hpp                   libgomp
OpenCL      CL/cl.h                    libOpenCL
zstd        zstd.h                     libzstd
ZLIB        zlib.h                     libz.so
simdjson    simdjson.h                 libsimdjson
OpenTracing opentracing/tracer.h       libopentracing
Protobuf    google/protobuf/message.h  libprotobuf
GTest       gtest/gtest.h              libgtest
benchmark   benchmark/benchmark.h      libbenchmark
'
# hide [PACKAGE...]: everything but these. Sets `disable` (for cmake) and `hidden_libraries`, fills $out/hidden.
hide() {
  local package header library
  disable=()
  hidden_libraries=()
  while read -r package header library; do
    [ -n "$package" ] || continue
    case " $* " in *" $package "*) continue ;; esac
    disable+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON")
    hidden_libraries+=("$library")
    mkdir -p "$out/hidden/$(dirname "$header")"
    echo "#error \"$header is hidden: this host must not need it\"" >"$out/hidden/$header"
  done <<<"$hideable"
}

fail() {
  printf '%s\n' "$*"
  exit 1
}
# fails_with 'PART OF THE MESSAGE' command...
fails_with() {
  local message=$1 output
  shift
  if output=$("$@" 2>&1); then fail "succeeds, but should say: $message"; fi
  # CMake wraps lines.
  output=$(printf '%s' "$output" | tr -s ' \n' ' ')
  case "$output" in *"$message"*) ;; *) fail "fails, but not with '$message':" "$output" ;; esac
}

# configure DIRECTORY [cmake arguments...]
configure() {
  local directory=$1
  shift
  "$cmake" --no-warn-unused-cli -S "$here/$directory" -B "$out/build" -G "$generator" \
    -DCMAKE_CXX_EXTENSIONS=OFF -DCMAKE_BUILD_TYPE="$build_type" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_STANDARD="$cxx_standard" \
    -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" -DCMAKE_CXX_FLAGS="$cxx_flags -I$out/hidden -I$out" \
    -DCMAKE_PREFIX_PATH="$prefix" -DSEER_VERSION="$version" \
    ${disable[@]+"${disable[@]}"} "$@"
}
build_and_run() {
  # `|| fail`, as fails_with turns `set -e` off.
  "$cmake" --build "$out/build" --target program || fail 'does not compile'
  local program=$out/build/program needed library
  "$program" || fail "$program exits with $?"
  needed=$(readelf -d "$program" | grep NEEDED) || fail "readelf finds no library that $program needs"
  for library in ${hidden_libraries[@]+"${hidden_libraries[@]}"}; do
    case "$needed" in *"[$library"*) fail "$program needs $library:" "$needed" ;; esac
  done
}
# The components of a role that exist in this version of seer.
existing() {
  local component found=
  for component in "$@"; do
    case " $components " in *" $component "*) found="$found${found:+;}$component" ;; esac
  done
  printf '%s' "$found"
}
# The public headers of a component, as CMake knows them: a further library of a room (trace_opentracing)
# has its headers in the room's folder.
headers_of() {
  local headers=headers_$1
  printf '%s\n' ${!headers} | LC_ALL=C sort
}
# all_headers 'a;b' FILE: includes every public header of the components, in the order of the alphabet.
all_headers() {
  local component
  for component in ${1//;/ }; do
    headers_of "$component"
  done | sed 's/.*/#include "&"/' >"$2"
  [ -s "$2" ] || fail "no header is installed for $1"
}
# role NAME 'PACKAGES IT MAY NEED' COMPONENT...
role() {
  local name=$1 may_need=$2
  shift 2
  local wanted
  wanted=$(existing "$@")
  hide $may_need
  all_headers "$wanted" "$out/headers.cc"
  configure host -DSEER_COMPONENTS="$wanted" \
    -DSEER_PROGRAM="$here/$name/main.cc;${extra_source:-$out/headers.cc}" || fail 'does not configure'
  build_and_run
}

# ---- The cases.

installed() {
  rm -rf "$prefix"
  "$cmake" --install "$build" --prefix "$prefix"
}

# DESIGN: what each kind of host links. Components join their role as soon as they exist.
microservice() { role microservice 'Thrift Boost' core queue trace thrift; }
node_agent() { role node_agent '' core probe queue hwmon act; }
control_plane() { role control_plane '' core window nn predict hwmon advise insight; }

# The roles above would notice: the same with a header, and with a library, that is hidden.
notices_hidden() {
  echo '#include <Eigen/Core>' >"$out/bad.cc"
  extra_source=$out/bad.cc
  fails_with 'Eigen/Core is hidden' role microservice '' core queue
  echo >"$out/bad.cc"
  cxx_flags="$cxx_flags -Wl,--no-as-needed -lgomp"
  fails_with 'needs libgomp' role microservice '' core queue
}

build_tree() {
  hide
  configure host -Dseer_DIR="$build" -DCMAKE_PREFIX_PATH= -DSEER_COMPONENTS=queue \
    -DSEER_PROGRAM="$here/microservice/main.cc"
  build_and_run
}
# An installed tree works where it was moved to; and without COMPONENTS all that is installed is loaded.
moved() {
  cp -a "$prefix" "$out/elsewhere"
  prefix=$out/elsewhere
  hide OpenTracing Thrift Boost ZLIB zstd simdjson DNNL dnnl  # of the components that are installed
  configure host -DSEER_PROGRAM="$here/control_plane/main.cc"
  grep -q "^seer_DIR:PATH=$out/elsewhere/" "$out/build/CMakeCache.txt" || fail 'found another one'
  build_and_run
}

wrong_component() {
  fails_with "seer has no component 'crystal_ball'. It has: $components." \
    configure host -DSEER_COMPONENTS='core;crystal_ball' -DSEER_PROGRAM="$here/microservice/main.cc"
}
optional_component() {
  configure host -DSEER_COMPONENTS=core -DSEER_OPTIONAL_COMPONENTS=crystal_ball \
    -DSEER_PROGRAM="$here/microservice/main.cc"
}
missing_dependency() {
  fails_with "seer's component 'core' needs the package 'absl', which was not found. On Debian or Ubuntu: sudo apt install libabsl-dev" \
    configure host -DSEER_COMPONENTS=core -DCMAKE_DISABLE_FIND_PACKAGE_absl=ON \
    -DSEER_PROGRAM="$here/microservice/main.cc"
}
# While MAJOR is 0 sources are compatible within a MINOR only.
wrong_version() {
  local major minor
  IFS=. read -r major minor _ <<<"$version"
  for version in "$major.$((minor + 1))" "$major.$minor.999" "$((major + 1)).0"; do
    fails_with 'Could not find a configuration file for package "seer" that is compatible' \
      configure host -DSEER_COMPONENTS=core -DSEER_PROGRAM="$here/microservice/main.cc"
  done
  if [ "$minor" -gt 0 ]; then
    version=$major.$((minor - 1))
    fails_with 'Could not find a configuration file for package "seer" that is compatible' \
      configure host -DSEER_COMPONENTS=core -DSEER_PROGRAM="$here/microservice/main.cc"
  fi
  version=$major.$minor
  configure host -DSEER_COMPONENTS=core -DSEER_PROGRAM="$here/microservice/main.cc"
}

add_subdirectory() {
  hide
  configure subdirectory -DSEER_SOURCE_DIR="$source" -DCMAKE_PREFIX_PATH="$prefix_path" \
    -DSEER_PROGRAM="$here/microservice/main.cc"
  build_and_run
  "$cmake" --install "$out/build" --prefix "$out/installed"
  [ ! -e "$out/installed/include" ] || fail 'seer installed itself with the host'
}
add_subdirectory_shared() {
  configure subdirectory -DSEER_SOURCE_DIR="$source" -DCMAKE_PREFIX_PATH="$prefix_path" \
    -DBUILD_SHARED_LIBS=ON -DSEER_PROGRAM="$here/control_plane/main.cc"
  build_and_run
  grep -q 'NEEDED.*libseer_core.so' <<<"$(readelf -d "$out/build/program")" || fail 'not a shared library'
}

# No CMake on the host's side.
pkg_config() {
  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig:$prefix/lib64/pkgconfig:${PKG_CONFIG_PATH:-}
  local component flags
  for component in $components; do
    component=seer-${component//_/-}
    [ "$(pkg-config --modversion "$component")" = "$version" ] || fail "$component has another version"
    pkg-config --print-errors --exists "$component"
  done
  flags=$(pkg-config --cflags --libs seer-queue)
  # Unquoted: flags are words.
  "$cxx" -std=c++17 $cxx_flags -o "$out/program" "$here/microservice/main.cc" $flags
  "$out/program"
  case "$cxx_flags" in *-fsanitize*) return ;; esac  # which cannot be linked statically
  flags=$(pkg-config --static --cflags --libs seer-queue)
  "$cxx" -std=c++17 $cxx_flags -static -o "$out/program-static" "$here/microservice/main.cc" $flags
  "$out/program-static"
}

two_translation_units() {
  all_headers "${components// /;}" "$out/all_seer_headers.h"
  configure host -DSEER_COMPONENTS="${components// /;}" \
    -DSEER_PROGRAM="$here/two_translation_units/one.cc;$here/two_translation_units/two.cc"
  build_and_run
}
no_exceptions() {
  local wanted
  wanted=$(existing core queue trace)
  all_headers "$wanted" "$out/all_seer_headers.h"
  cxx_flags="$cxx_flags -fno-exceptions -fno-rtti"
  configure host -DSEER_COMPONENTS="$wanted" -DSEER_PROGRAM="$here/no_exceptions/main.cc"
  build_and_run
}

# ---- The Find modules, as installed. On Debian neither package has a CMake config that works.

modules() { dirname "$(find "$prefix" -name FindThrift.cmake)"; }
# find_module PACKAGE 'TARGETS' 'APT LINE'
find_module() {
  local arguments=(-DPACKAGE="$1" -DTARGETS="$2" -DSEER_MODULES="$(modules)" -DSEER_VERSION=)
  configure find_module "${arguments[@]}"
  build_and_run
  fails_with 'Found unsuitable version' configure find_module "${arguments[@]}" -DSEER_VERSION=99
  # A root without anything in it hides all that is installed.
  rm -rf "$out/build"
  fails_with "$3" configure find_module "${arguments[@]}" -DCMAKE_FIND_ROOT_PATH="$out/empty" \
    -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY \
    -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY
}
find_thrift() {
  find_module Thrift 'thrift::thrift;thrift::thriftnb' 'sudo apt install libthrift-dev libboost-dev'
  # libthrift-dev does not bring Boost, which its headers include.
  rm -rf "$out/build"
  fails_with 'missing: Thrift_Boost_INCLUDE_DIR' configure find_module -DPACKAGE=Thrift \
    -DTARGETS=thrift::thrift -DSEER_MODULES="$(modules)" -DSEER_VERSION= \
    -DThrift_INCLUDE_DIR=/usr/include -DThrift_LIBRARY=/usr/lib/libthrift.so \
    -DCMAKE_FIND_ROOT_PATH="$out/empty" -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY
}
find_dnnl() { find_module DNNL DNNL::dnnl 'sudo apt install libdnnl-dev'; }

# ---- Several rooms: what a component brings along, and what it does not look for.

# host_of_rooms COMPONENTS PROGRAM [cmake arguments...]
host_of_rooms() {
  local wanted=$1 program=$2
  shift 2
  rm -rf "$out/build"
  configure host -DSEER_COMPONENTS="$wanted" -DSEER_PROGRAM="$here/rooms/$program.cc" "$@"
}
rooms() {
  local version=0.1 rooms_build=$out/rooms
  "$cmake" -S "$here/rooms" -B "$rooms_build" -G "$generator" -DSEER_SOURCE_DIR="$source" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$cxx_flags" -DCMAKE_BUILD_TYPE="$build_type" \
    -DCMAKE_INSTALL_PREFIX=/usr
  "$cmake" --build "$rooms_build" --target all all_verify_interface_header_sets
  prefix=$out/prefix
  "$cmake" --install "$rooms_build" --prefix "$prefix"

  hide
  host_of_rooms queue queue_main
  build_and_run
  host_of_rooms nn nn_main  # DNNL was needed to build it, and is not needed to use it
  build_and_run
  fails_with "seer's component 'thrift' needs the package 'Thrift', which was not found. On Debian or Ubuntu: sudo apt install libthrift-dev libboost-dev" \
    host_of_rooms thrift thrift_main
  host_of_rooms queue queue_main -DSEER_OPTIONAL_COMPONENTS=thrift
  build_and_run
  rm -rf "$out/hidden"
  disable=()
  hidden_libraries=()
  host_of_rooms 'nn;thrift' thrift_main
  build_and_run
  host_of_rooms thrift thrift_main -Dseer_DIR="$rooms_build" -DCMAKE_PREFIX_PATH=
  build_and_run

  # pkg-config follows the same edges.
  export PKG_CONFIG_PATH
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name seer-thrift.pc)"):${PKG_CONFIG_PATH:-}
  "$cxx" -std=c++17 $cxx_flags -o "$out/program" "$here/rooms/thrift_main.cc" \
    $(pkg-config --cflags --libs seer-thrift)
  "$out/program"
  case " $(pkg-config --libs seer-queue) " in *thrift*) fail 'seer-queue asks for Thrift' ;; esac

  # One package installed, the others not.
  prefix=$out/core_only
  "$cmake" --install "$rooms_build" --prefix "$prefix" --component core
  fails_with "seer's component 'queue' is not installed (its package is libseer-queue-dev)." \
    host_of_rooms queue queue_main
  # Without COMPONENTS: what is installed, and that is not the others.
  host_of_rooms '' core_main -DSEER_OPTIONAL_COMPONENTS=
  build_and_run

  (cd "$rooms_build" && cpack -G DEB >/dev/null)
  [ "$(deb_field "$rooms_build" thrift Depends)" = \
    'libthrift-dev, libboost-dev, libseer-core-dev (= 0.1.0), libseer-queue-dev (= 0.1.0)' ] ||
    fail "libseer-thrift-dev depends on: $(deb_field "$rooms_build" thrift Depends)"
  [ "$(deb_field "$rooms_build" nn Depends)" = 'libseer-core-dev (= 0.1.0)' ] ||
    fail "libseer-nn-dev depends on: $(deb_field "$rooms_build" nn Depends)"

  # The build step that compiles each header alone fails on one that leans on another.
  cp -a "$here/rooms" "$out/leaning"
  sed -i '/#include "seer/d' "$out/leaning/include/seer/queue/queue.h"
  "$cmake" -S "$out/leaning" -B "$out/leaning/build" -G "$generator" -DSEER_SOURCE_DIR="$source" \
    -DCMAKE_CXX_COMPILER="$cxx" >/dev/null
  fails_with 'seer/queue/queue.h:' "$cmake" --build "$out/leaning/build" \
    --target seer_queue_verify_interface_header_sets
}

# ---- Debian packages.

deb_of() { # deb_of FOLDER COMPONENT
  local found
  found=$(echo "$1"/libseer-"${2//_/-}"-dev_*.deb)
  [ -f "$found" ] || fail "no package of $2: $found"
  printf '%s' "$found"
}
deb_field() { dpkg-deb -f "$(deb_of "$1" "$2")" "$3"; }

debian_packages() {
  local deb_build=$out/deb component contents root=$out/root multiarch library
  "$cmake" -S "$source" -B "$deb_build" -G "$generator" -DCMAKE_INSTALL_PREFIX=/usr \
    -DCMAKE_SKIP_INSTALL_ALL_DEPENDENCY=ON \
    -DCMAKE_BUILD_TYPE="$build_type" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$cxx_flags" \
    -DCMAKE_CXX_STANDARD="$cxx_standard" -DCMAKE_PREFIX_PATH="$prefix_path" \
    -DSEER_BUILD_TESTS=OFF -DSEER_BUILD_EXAMPLES=OFF
  # Only where files go differs: the libraries are those of the build that is tested.
  while read -r library; do
    mkdir -p "$deb_build/$(dirname "$library")"
    cp -P "$build/$library" "$deb_build/$library"
  done < <(cd "$build" && find src -name 'libseer_*.a' -o -name 'libseer_*.so*')
  (cd "$deb_build" && cpack -G DEB && cpack -G TGZ)
  multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || "$cxx" -print-multiarch)

  mkdir "$root"
  [ "$(ls "$deb_build"/*.deb | wc -l)" = "$(wc -w <<<"$components")" ] ||
    fail 'not one package per component:' "$(ls "$deb_build"/*.deb)"
  for component in $components; do
    [ "$(deb_field "$deb_build" "$component" Version)" = "$version" ] || fail "$component: version"
    [ "$(deb_field "$deb_build" "$component" Section)" = libdevel ] || fail "$component: section"
    contents=$(dpkg-deb -c "$(deb_of "$deb_build" "$component")" | awk '$1 !~ /^d/ { print $6 }')
    # Exactly this component's headers.
    diff <(headers_of "$component") \
      <(sed -n 's:^\./usr/include/::p' <<<"$contents" | LC_ALL=C sort) || fail "$component: headers"
    for file in "./usr/lib/$multiarch/cmake/seer/seer-$component-targets.cmake" \
      "./usr/lib/$multiarch/pkgconfig/seer-${component//_/-}.pc" \
      "./usr/share/doc/libseer-${component//_/-}-dev/copyright"; do
      grep -qxF "$file" <<<"$contents" || fail "$component lacks $file:" "$contents"
    done
    ! grep -v -e '^\./usr/include/seer/' -e "^\./usr/lib/$multiarch/" -e '^\./usr/share/doc/' \
      <<<"$contents" || fail "$component has files in other places"
    dpkg-deb -x "$(deb_of "$deb_build" "$component")" "$root"
  done
  grep -q 'libabsl-dev' <<<"$(deb_field "$deb_build" core Depends)" || fail 'core does not need Abseil'
  # Not `| grep -q`: it stops reading at the first match, and with pipefail tar's SIGPIPE would count.
  grep -q 'include/seer/core/version.h' <<<"$(tar -tzf "$deb_build"/seer-*.tar.gz)" ||
    fail 'the .tar.gz lacks files'

  # What the packages hold is a seer that works.
  prefix=$root/usr
  configure host -DSEER_COMPONENTS="${components// /;}" -DCMAKE_LIBRARY_ARCHITECTURE="$multiarch" \
    -DSEER_PROGRAM="$here/node_agent/main.cc"
  build_and_run
}

"$case_name"
