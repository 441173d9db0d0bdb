# cpack: one Debian package libseer-<component>-dev for each component, and one .tar.gz of them all.
# Configure with -DCMAKE_INSTALL_PREFIX=/usr for packages that follow Debian's layout (multiarch).
#
#   cmake -B build/deb -DCMAKE_INSTALL_PREFIX=/usr -DSEER_BUILD_TESTS=OFF
#   cmake --build build/deb && cpack --config build/deb/CPackConfig.cmake -B build/deb
get_property(components GLOBAL PROPERTY SEER_COMPONENTS)

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_NAME seer)
set(CPACK_PACKAGE_VENDOR "The seer authors")
set(CPACK_PACKAGE_CONTACT "The seer authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_CURRENT_LIST_DIR}/../../LICENSE)
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_COMPONENTS_ALL ${components})
set(CPACK_STRIP_FILES OFF)  # archives: a stripped one cannot be linked

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# Development packages have no program from which dpkg-shlibdeps could read their dependencies.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)

# The name of the component's Debian package, and what CPack calls the component.
function(_seer_deb_names component deb upper)
  string(REPLACE "_" "-" name libseer-${component}-dev)
  set(${deb} ${name} PARENT_SCOPE)
  string(TOUPPER ${component} name)
  set(${upper} ${name} PARENT_SCOPE)
endfunction()

foreach(component IN LISTS components)
  _seer_deb_names(${component} deb upper)
  get_property(needs GLOBAL PROPERTY SEER_${component}_DEB_DEPENDS)
  get_property(rooms GLOBAL PROPERTY SEER_${component}_DEPENDS)
  foreach(room IN LISTS rooms)
    _seer_deb_names(${room} room_deb room_upper)
    # The same version exactly: headers and archives of one build belong together.
    list(APPEND needs "${room_deb} (= ${PROJECT_VERSION})")
  endforeach()
  list(JOIN needs ", " needs)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${deb})
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${needs}")
  set(CPACK_DEBIAN_${upper}_FILE_NAME DEB-DEFAULT)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION
    "${PROJECT_DESCRIPTION}\nDevelopment files of the component '${component}' (seer::${component}).")
  install(FILES ${CMAKE_CURRENT_LIST_DIR}/../../LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${deb}
    RENAME copyright COMPONENT ${component})
endforeach()

include(CPack)
