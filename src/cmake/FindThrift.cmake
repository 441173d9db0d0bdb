# Finds Apache Thrift for C++ and makes the target thrift::thrift and, where they are installed too,
# thrift::thriftnb (the non-blocking server) and thrift::thriftz (THeader and zlib).
#
#   find_package(Thrift [version])    sets Thrift_FOUND, Thrift_VERSION, Thrift_INCLUDE_DIR,
#                                     Thrift_LIBRARY, Thrift_Boost_INCLUDE_DIR
#   Thrift_ROOT                       where to look first
#
# Where Thrift brings a CMake package of its own (vcpkg, a build from source) that one is used.
# Debian's brings none. Its headers include Boost's, which libthrift-dev does not depend on: their
# absence is said here instead of in the middle of a compilation.
include(FindPackageHandleStandardArgs)

find_package(Thrift ${Thrift_FIND_VERSION} CONFIG QUIET)
if(Thrift_FOUND AND TARGET thrift::thrift)
  find_package_handle_standard_args(Thrift CONFIG_MODE)
  return()
endif()

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(PC_Thrift QUIET thrift)
endif()
find_path(Thrift_INCLUDE_DIR NAMES thrift/Thrift.h HINTS ${PC_Thrift_INCLUDE_DIRS})
find_library(Thrift_LIBRARY NAMES thrift HINTS ${PC_Thrift_LIBRARY_DIRS})
find_library(Thrift_NB_LIBRARY NAMES thriftnb HINTS ${PC_Thrift_LIBRARY_DIRS})
find_library(Thrift_Z_LIBRARY NAMES thriftz HINTS ${PC_Thrift_LIBRARY_DIRS})
find_path(Thrift_Boost_INCLUDE_DIR NAMES boost/numeric/conversion/cast.hpp)
mark_as_advanced(Thrift_INCLUDE_DIR Thrift_LIBRARY Thrift_NB_LIBRARY Thrift_Z_LIBRARY
  Thrift_Boost_INCLUDE_DIR)

unset(Thrift_VERSION)
foreach(_thrift_header IN ITEMS config.h thrift-config.h)
  if(NOT Thrift_VERSION AND Thrift_INCLUDE_DIR
      AND EXISTS ${Thrift_INCLUDE_DIR}/thrift/${_thrift_header})
    file(STRINGS ${Thrift_INCLUDE_DIR}/thrift/${_thrift_header} _thrift_lines
      REGEX "#define (PACKAGE|THRIFT)_VERSION \"")
    if(_thrift_lines MATCHES "_VERSION \"([0-9.]+)")
      set(Thrift_VERSION ${CMAKE_MATCH_1})
    endif()
  endif()
endforeach()
unset(_thrift_header)
unset(_thrift_lines)

find_package_handle_standard_args(Thrift
  REQUIRED_VARS Thrift_LIBRARY Thrift_INCLUDE_DIR Thrift_Boost_INCLUDE_DIR
  VERSION_VAR Thrift_VERSION
  REASON_FAILURE_MESSAGE "on Debian or Ubuntu:\n    sudo apt install libthrift-dev libboost-dev\n")

if(Thrift_FOUND AND NOT TARGET thrift::thrift)
  add_library(thrift::thrift UNKNOWN IMPORTED)
  set_target_properties(thrift::thrift PROPERTIES
    IMPORTED_LOCATION ${Thrift_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${Thrift_INCLUDE_DIR};${Thrift_Boost_INCLUDE_DIR}")
endif()
if(Thrift_FOUND AND Thrift_NB_LIBRARY AND NOT TARGET thrift::thriftnb)
  add_library(thrift::thriftnb UNKNOWN IMPORTED)
  set_target_properties(thrift::thriftnb PROPERTIES
    IMPORTED_LOCATION ${Thrift_NB_LIBRARY}
    INTERFACE_LINK_LIBRARIES thrift::thrift)
endif()
if(Thrift_FOUND AND Thrift_Z_LIBRARY AND NOT TARGET thrift::thriftz)
  add_library(thrift::thriftz UNKNOWN IMPORTED)
  set_target_properties(thrift::thriftz PROPERTIES
    IMPORTED_LOCATION ${Thrift_Z_LIBRARY}
    INTERFACE_LINK_LIBRARIES thrift::thrift)
endif()
