# Installs the host, the libraries, their headers, and a package for find_package(handoff), whose components
# are the libraries.

include(CMakePackageConfigHelpers)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/handoff")

add_custom_target(to_install DEPENDS python_packages)  # all that is installed, and no tests
function(handoff_install_libraries export)
  list(TRANSFORM ARGN PREPEND handoff_)
  add_dependencies(to_install ${ARGN})
  install(TARGETS ${ARGN} EXPORT ${export} INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT ${export} NAMESPACE handoff:: DESTINATION "${package_folder}")
endfunction()
function(handoff_install_headers)
  list(TRANSFORM ARGN APPEND /include/)
  install(DIRECTORY ${ARGN} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
endfunction()

# Whoever asks for these alone needs no Boost.
set(components_without_boost gil asio gilcheck gilcheck_inline giltrace gilwatch)
set(what_they_need gil_events lock_rules python_headers)
if(HANDOFF_HOST)
  list(APPEND components_without_boost host)
  list(APPEND what_they_need libpython)
endif()
handoff_install_libraries(handoffTargets ${components_without_boost} ${what_they_need})
handoff_install_headers(extension/asio extension/gil extension/diagnostics/gilcheck extension/diagnostics/giltrace
  extension/diagnostics/gilwatch)

set(components_with_boost "")
set(components_left_out "")
foreach(component IN ITEMS boost_python channel channel_class event_loop foo host interpreter logging)
  if(NOT TARGET handoff_${component})
    list(APPEND components_left_out ${component})
  elseif(NOT component IN_LIST components_without_boost)
    list(APPEND components_with_boost ${component})
  endif()
endforeach()
set(left_out "Boost.Python")
set(left_out_by HANDOFF_BOOST_PYTHON)
if(HANDOFF_BOOST_PYTHON)
  set(left_out "the host")
  set(left_out_by HANDOFF_HOST)
  set(what_they_need arguments fast_calls scheduler)
  handoff_install_headers(extension/boost_python extension/channel extension/event_loop extension/foo
    extension/logging)
endif()
if(HANDOFF_HOST)
  handoff_install_headers(app)
  install(TARGETS handoff RUNTIME)
  add_dependencies(to_install handoff)
endif()
set(build_again "cmake -B build -DHANDOFF_BOOST_PYTHON=OFF -DPython3_EXECUTABLE=…")
if(components_with_boost)
  handoff_install_libraries(handoffBoostTargets ${components_with_boost} ${what_they_need})
  set(build_again "make install PREFIX=… PYTHON=…")
endif()

# For LD_PRELOAD. A link: two copies in one process would be two checkers.
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/links")
foreach(tool IN ITEMS gilcheck giltrace gilwatch)
  set(there "${HANDOFF_INSTALL_PYTHONDIR}/${tool}/lib${tool}.so")
  cmake_path(RELATIVE_PATH there BASE_DIRECTORY "${CMAKE_INSTALL_LIBDIR}")
  file(CREATE_LINK "${there}" "${PROJECT_BINARY_DIR}/links/lib${tool}.so" SYMBOLIC)
  install(FILES "${PROJECT_BINARY_DIR}/links/lib${tool}.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endforeach()

# For builds by something else than CMake: setuptools, Meson, Make.
if(TARGET handoff_gil)
  set(pkgconfig_folder "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  set(prefix_from_pkgconfig ".")
  cmake_path(RELATIVE_PATH prefix_from_pkgconfig BASE_DIRECTORY "${pkgconfig_folder}")
  get_target_property(options_of_gil handoff_gil INTERFACE_LINK_OPTIONS)
  if(options_of_gil)
    string(REGEX REPLACE "^LINKER:|;LINKER:" " -Wl," options_of_gil "${options_of_gil}")
  else()
    set(options_of_gil "")
  endif()
  configure_file(cmake/handoff-gil.pc.in handoff-gil.pc @ONLY)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/handoff-gil.pc" DESTINATION "${pkgconfig_folder}")
endif()

configure_package_config_file(cmake/handoffConfig.cmake.in handoffConfig.cmake
  INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file(handoffConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  cmake/handoffLinkedPython.cmake
  "${CMAKE_CURRENT_BINARY_DIR}/handoffConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/handoffConfigVersion.cmake"
  DESTINATION "${package_folder}")
