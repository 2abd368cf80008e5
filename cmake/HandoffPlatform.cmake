# Refuses at once a system on which Handoff does not work.
include(CheckCXXSymbolExists)
check_cxx_symbol_exists(__GLIBC__ features.h HANDOFF_HAS_GLIBC)
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT HANDOFF_HAS_GLIBC OR NOT CMAKE_SIZEOF_VOID_P EQUAL 8
    OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$")
  set(libc "")
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT HANDOFF_HAS_GLIBC)
    set(libc " without glibc (musl, as on Alpine?)")
  endif()
  math(EXPR bits "8 * ${CMAKE_SIZEOF_VOID_P}")
  message(FATAL_ERROR "Handoff is for Linux with glibc on x86_64 or aarch64, 64 bit; this is ${CMAKE_SYSTEM_NAME}${libc} "
    "on ${CMAKE_SYSTEM_PROCESSOR}, ${bits} bit. Use a container or a virtual machine with Debian or Ubuntu, on "
    "Windows WSL 2")
endif()
