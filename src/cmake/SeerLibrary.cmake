# How every library of seer is declared, exported, installed and packaged.
#
#   seer_add_library(<folder>
#     [ROOM <folder>]               whose header and source folders it uses, if not its own: a further
#                                   library <room>_<x> of a room, for those who want its dependency
#     [DEPENDS <folder>...]         rooms it may include: the row of the include matrix
#     HEADERS <file>...             relative to include/seer/<folder>/
#     [SOURCES <file>...]           relative to src/<folder>/
#     [PUBLIC_LINK <target>...]     what its headers need
#     [PRIVATE_LINK <target>...]    what only its sources need
#     [PACKAGES <name>...]          find_package() names of what a host links too: of PUBLIC_LINK, and
#                                   of PRIVATE_LINK (a static library hands that on to the linker)
#     [BUILD_PACKAGES <name>...]    find_package() names of what only building seer needs: headers
#                                   that PRIVATE_LINK wraps in $<BUILD_INTERFACE:...>
#     [PKGCONFIG <name>...]         PACKAGES for pkg-config
#     [PKGCONFIG_LIBS <flag>...]    link flags where no .pc file exists
#     [DEB_DEPENDS <package>...])   PACKAGES for Debian
#
# makes the target seer_<folder> (alias seer::<folder>), installs it as component <folder> with an
# export file, a .pc file and a .deb of its own. A folder without SOURCES is header-only.
include_guard(GLOBAL)
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set_property(GLOBAL PROPERTY SEER_COMPONENTS "")

# Warnings for seer's own code only; a host that adds seer as a subdirectory keeps its own flags.
function(seer_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    $<$<BOOL:${SEER_WERROR}>:-Werror>)
endfunction()

function(seer_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ROOM"
    "DEPENDS;HEADERS;SOURCES;PUBLIC_LINK;PRIVATE_LINK;PACKAGES;BUILD_PACKAGES;PKGCONFIG;PKGCONFIG_LIBS;DEB_DEPENDS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "seer_add_library(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()

  set(target seer_${name})
  if(NOT arg_ROOM)
    set(arg_ROOM ${name})
  endif()
  list(TRANSFORM arg_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/include/seer/${arg_ROOM}/)
  list(TRANSFORM arg_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/src/${arg_ROOM}/)
  list(TRANSFORM arg_DEPENDS PREPEND seer:: OUTPUT_VARIABLE seer_targets)

  # A host may bring its own copy (FetchContent): then the targets are there already.
  foreach(needed IN LISTS arg_PUBLIC_LINK arg_PRIVATE_LINK)
    if(NOT TARGET ${needed})
      foreach(package IN LISTS arg_PACKAGES arg_BUILD_PACKAGES)
        seer_find_package(${package})
      endforeach()
      break()
    endif()
  endforeach()

  if(arg_SOURCES)
    set(scope PUBLIC)
    add_library(${target} ${arg_SOURCES})
    set_target_properties(${target} PROPERTIES
      POSITION_INDEPENDENT_CODE ON
      VERSION ${PROJECT_VERSION}
      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${target} PRIVATE ${arg_PRIVATE_LINK})
    seer_set_warnings(${target})
  else()
    set(scope INTERFACE)
    add_library(${target} INTERFACE)
  endif()
  add_library(seer::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${name}
    CXX_EXTENSIONS OFF
    VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
  target_compile_features(${target} ${scope} cxx_std_17)
  target_sources(${target} ${scope}
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${arg_HEADERS})
  target_link_libraries(${target} ${scope} ${seer_targets} ${arg_PUBLIC_LINK})

  set_property(GLOBAL APPEND PROPERTY SEER_COMPONENTS ${name})
  set_property(GLOBAL PROPERTY SEER_${name}_DEPENDS ${arg_DEPENDS})
  set_property(GLOBAL PROPERTY SEER_${name}_PACKAGES ${arg_PACKAGES})
  set_property(GLOBAL PROPERTY SEER_${name}_DEB_DEPENDS ${arg_DEB_DEPENDS})

  if(SEER_INSTALL)
    install(TARGETS ${target} EXPORT seer-${name}
      ARCHIVE COMPONENT ${name} LIBRARY COMPONENT ${name}
      FILE_SET HEADERS COMPONENT ${name})
    install(EXPORT seer-${name} NAMESPACE seer:: FILE seer-${name}-targets.cmake
      DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/seer COMPONENT ${name})
    _seer_install_pc(${name} "${arg_SOURCES}" "${arg_DEPENDS}" "${arg_PKGCONFIG}"
      "${arg_PKGCONFIG_LIBS}")
  endif()
  # Usable straight from the build tree: find_package(seer) with seer_DIR=<build folder>.
  if(PROJECT_IS_TOP_LEVEL)
    export(TARGETS ${target} NAMESPACE seer::
      FILE ${PROJECT_BINARY_DIR}/seer-${name}-targets.cmake)
  endif()
endfunction()

# find_package() with the line to type when it fails.
macro(seer_find_package package)
  set(_seer_apt_absl "libabsl-dev")
  set(_seer_apt_GTest "libgtest-dev libgmock-dev")
  set(_seer_apt_benchmark "libbenchmark-dev")
  set(_seer_apt_Protobuf "libprotobuf-dev protobuf-compiler")
  set(_seer_apt_Thrift "libthrift-dev libboost-dev")
  set(_seer_apt_DNNL "libdnnl-dev")
  set(_seer_apt_Eigen3 "libeigen3-dev")
  set(_seer_apt_zstd "libzstd-dev")
  set(_seer_apt_ZLIB "zlib1g-dev")
  set(_seer_apt_simdjson "libsimdjson-dev")
  set(_seer_apt_OpenTracing "libopentracing-dev")
  find_package(${package} ${ARGN} QUIET GLOBAL)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "seer: the package '${package}' was not found. On Debian or Ubuntu:\n"
      "    sudo apt install ${_seer_apt_${package}}\n")
  endif()
endmacro()

function(_seer_install_pc name sources depends requires libs)
  string(REPLACE "_" "-" PC_NAME ${name})
  string(REPLACE "_" "-" depends "${depends}")
  list(TRANSFORM depends PREPEND seer-)
  list(JOIN depends " " seer_requires)
  list(JOIN requires " " requires)
  list(JOIN libs " " libs)
  string(STRIP "${seer_requires} ${requires}" PC_REQUIRES)
  set(PC_LIBS "${libs}")
  if(sources)
    string(STRIP "-L\${libdir} -lseer_${name} ${libs}" PC_LIBS)
  endif()
  # Relative to the .pc file, so that the installed tree can be moved.
  if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(PC_PREFIX ${CMAKE_INSTALL_PREFIX})
    set(PC_LIBDIR ${CMAKE_INSTALL_LIBDIR})
  else()
    file(RELATIVE_PATH up /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
    string(REGEX REPLACE "/$" "" PC_PREFIX "\${pcfiledir}/${up}")
    set(PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  endif()
  set(PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
  if(IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
    set(PC_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/seer-component.pc.in
    ${PROJECT_BINARY_DIR}/seer-${PC_NAME}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/seer-${PC_NAME}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${name})
endfunction()

# Call once, after the last seer_add_library(): writes what find_package(seer COMPONENTS ...) reads
# and, where seer is the top-level project, what cpack packages.
function(seer_export_package)
  get_property(components GLOBAL PROPERTY SEER_COMPONENTS)
  set(SEER_COMPONENT_TABLE "set(_seer_components ${components})\n")
  foreach(name IN LISTS components)
    foreach(what IN ITEMS DEPENDS PACKAGES DEB_DEPENDS)
      get_property(values GLOBAL PROPERTY SEER_${name}_${what})
      string(APPEND SEER_COMPONENT_TABLE "set(_seer_${name}_${what} ${values})\n")
    endforeach()
  endforeach()
  set(here ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
  configure_file(${here}/seer-config.cmake.in ${PROJECT_BINARY_DIR}/seer-config.cmake @ONLY)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/seer-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  set(find_modules ${here}/FindThrift.cmake ${here}/FindDNNL.cmake)
  foreach(module IN LISTS find_modules)
    configure_file(${module} ${PROJECT_BINARY_DIR} COPYONLY)
  endforeach()
  if(NOT SEER_INSTALL)
    return()
  endif()
  # The package files travel with core: every other component needs it.
  install(FILES ${PROJECT_BINARY_DIR}/seer-config.cmake
      ${PROJECT_BINARY_DIR}/seer-config-version.cmake ${find_modules}
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/seer COMPONENT core)
  if(PROJECT_IS_TOP_LEVEL)
    include(SeerPackaging)
  endif()
endfunction()
