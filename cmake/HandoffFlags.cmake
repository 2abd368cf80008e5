# handoff_flags(target…): the language, warnings, hardening and sanitizers of our own targets.

# CI is set to true by every continuous integration; a user's newer compiler may warn of more.
set(_handoff_strict OFF)
if(PROJECT_IS_TOP_LEVEL AND "$ENV{CI}")
  set(_handoff_strict ON)
endif()
option(HANDOFF_WARNINGS_AS_ERRORS "A warning fails the build" ${_handoff_strict})
set(HANDOFF_SANITIZE "" CACHE STRING
  "What watches our code: address, thread, undefined (with commas between), valgrind, or nothing")

set(_handoff_sanitizers "${PROJECT_SOURCE_DIR}/tests/sanitizers")
set(_handoff_instrument "")
if(HANDOFF_SANITIZE AND NOT HANDOFF_SANITIZE STREQUAL "valgrind")
  set(_handoff_instrument
    "-fsanitize=${HANDOFF_SANITIZE}"
    # Boost.Python asks each holder that it has just destroyed for its type (instance_dealloc in
    # its class.cpp), and this check clears what it looks at.
    -fno-sanitize=vptr
    # `catch (abi::__forced_unwind const&)` catches a null reference. What is read through one, the
    # address sanitizer sees.
    -fno-sanitize=null
    # Nobody reads what a program prints that goes on, and whose test passes.
    -fno-sanitize-recover=all)
  set(_handoff_sanitizer_sources "${_handoff_sanitizers}/options.cpp")
  if(HANDOFF_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU"
      AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    list(APPEND _handoff_sanitizer_sources "${_handoff_sanitizers}/threads_after_fork.cpp")
  endif()
endif()

function(handoff_flags)
  set(optimised "$<NOT:$<CONFIG:Debug>>")
  foreach(target IN LISTS ARGN)
    target_compile_features(${target} PUBLIC cxx_std_20)
    set_target_properties(${target} PROPERTIES
      CXX_EXTENSIONS OFF
      POSITION_INDEPENDENT_CODE ON
      CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON)
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-align -Wformat=2
      $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast>
      # GCC 12 takes an atomic of a free-threaded Python's headers for one beyond a null object's end.
      $<$<AND:$<NOT:$<BOOL:${HANDOFF_PYTHON_gil}>>,$<CXX_COMPILER_ID:GNU>>:-Wno-stringop-overflow>
      $<$<BOOL:${HANDOFF_WARNINGS_AS_ERRORS}>:-Werror>
      -fstack-protector-strong)
    target_link_options(${target} PRIVATE -Wl,-z,relro,-z,now)
    if(HANDOFF_SANITIZE)
      target_compile_options(${target} PRIVATE -O1 -g -fno-omit-frame-pointer)  # readable reports
    endif()
    if(_handoff_instrument)
      target_compile_options(${target} PRIVATE ${_handoff_instrument})
      target_link_options(${target} PUBLIC ${_handoff_instrument})
      get_target_property(type ${target} TYPE)
      if(type STREQUAL "EXECUTABLE")
        target_sources(${target} PRIVATE ${_handoff_sanitizer_sources})
      endif()
    else()
      # Not both: the sanitizers do not see through the fortified functions.
      target_compile_options(${target} PRIVATE $<${optimised}:-U_FORTIFY_SOURCE>
        $<${optimised}:-D_FORTIFY_SOURCE=2>)
    endif()
  endforeach()
endfunction()

# handoff_watch_python(target): what links it embeds Python, and a sanitizer sees into that.
function(handoff_watch_python target)
  if(HANDOFF_SANITIZE)
    target_sources(${target} INTERFACE
      "$<BUILD_INTERFACE:${_handoff_sanitizers}/python_allocator.cpp>")
  endif()
  if(HANDOFF_SANITIZE MATCHES "address")
    target_sources(${target} INTERFACE "$<BUILD_INTERFACE:${_handoff_sanitizers}/leaks.cpp>")
  elseif(HANDOFF_SANITIZE STREQUAL "valgrind")
    target_sources(${target} INTERFACE
      "$<BUILD_INTERFACE:${_handoff_sanitizers}/leaks_after_fork.cpp>")
  endif()
endfunction()
