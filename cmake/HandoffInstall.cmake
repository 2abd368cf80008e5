# Installs the host, the libraries, their headers, and a package for find_package(handoff).

include(CMakePackageConfigHelpers)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/handoff")

install(TARGETS handoff RUNTIME)
install(TARGETS handoff_host handoff_foo handoff_scheduler handoff_channel_class handoff_channel
  handoff_arguments handoff_watchdog handoff_gilcheck handoff_giltrace handoff_gil_events handoff_gil handoff_mutex
  handoff_gilcheck_inline
  EXPORT handoffTargets
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
# These say where this machine's Python and Boost are, and have no headers of ours.
install(TARGETS handoff_libpython handoff_python_headers handoff_boost_python EXPORT handoffTargets)
install(DIRECTORY app/include/ extension/gil/include/ extension/foo/include/ extension/channel/include/
  extension/diagnostics/include/
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" OPTIONAL
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
# For LD_PRELOAD. A link: two copies in one process would be two checkers.
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/links")
foreach(tool IN ITEMS gilcheck giltrace)
  set(there "${HANDOFF_INSTALL_PYTHONDIR}/${tool}/lib${tool}.so")
  cmake_path(RELATIVE_PATH there BASE_DIRECTORY "${CMAKE_INSTALL_LIBDIR}")
  file(CREATE_LINK "${there}" "${PROJECT_BINARY_DIR}/links/lib${tool}.so" SYMBOLIC)
  install(FILES "${PROJECT_BINARY_DIR}/links/lib${tool}.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endforeach()
install(EXPORT handoffTargets NAMESPACE handoff:: DESTINATION "${package_folder}")

configure_package_config_file(cmake/handoffConfig.cmake.in handoffConfig.cmake
  INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file(handoffConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/handoffConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/handoffConfigVersion.cmake"
  DESTINATION "${package_folder}")
