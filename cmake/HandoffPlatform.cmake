# Refuses at once a system for which there is nothing here that works.
include(CheckCXXSymbolExists)
check_cxx_symbol_exists(__GLIBC__ features.h HANDOFF_HAS_GLIBC)
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT HANDOFF_HAS_GLIBC
    OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$")
  message(FATAL_ERROR "Handoff is for Linux with glibc on x86_64 or aarch64; this is "
    "${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}, and glibc was \"${HANDOFF_HAS_GLIBC}\".")
endif()
