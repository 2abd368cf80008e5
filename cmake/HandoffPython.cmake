# One Python for everything: interpreter, headers, and the libpython an executable embeds.
#
# Python3_EXECUTABLE decides. Defines
#   handoff::python_headers  Python.h only; for code that runs inside somebody's Python; with
#                            HANDOFF_PYTHON_HEADERS
#   handoff::libpython       for an executable that embeds Python (includes python_headers), with
#                            HANDOFF_HOST
# and says in the configure output which library was taken, and why not a better one.

set(HANDOFF_LIBPYTHON "auto" CACHE STRING "Embed Python's static or shared library: auto, static, shared")
set_property(CACHE HANDOFF_LIBPYTHON PROPERTY STRINGS auto static shared)
if(NOT HANDOFF_LIBPYTHON MATCHES "^(auto|static|shared)$")
  message(FATAL_ERROR "HANDOFF_LIBPYTHON is \"${HANDOFF_LIBPYTHON}\": it must be auto, static or shared.")
endif()

# A virtual environment or a version manager's shim on PATH must not win over the interpreter that was named,
# and without a name the distribution's own comes first: its Boost.Python is made for it.
set(Python3_FIND_VIRTUALENV STANDARD)
if(NOT Python3_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python3_EXECUTABLE /usr/bin/python3 CACHE FILEPATH "The Python of everything")
endif()
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

# Ask the interpreter itself; CMake's own search for the development files may find another Python's.
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -I "${CMAKE_CURRENT_LIST_DIR}/python_facts.py"
  OUTPUT_VARIABLE HANDOFF_PYTHON_FACTS OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
foreach(fact IN ITEMS
    executable base_executable prefix build gil version include archives shared library libraries modules packages suffix)
  string(JSON HANDOFF_PYTHON_${fact} GET "${HANDOFF_PYTHON_FACTS}" ${fact})
endforeach()

if(NOT HANDOFF_PYTHON_gil AND HANDOFF_PYTHON_version VERSION_LESS 3.14)
  message(FATAL_ERROR
    "Python ${HANDOFF_PYTHON_version} (${Python3_EXECUTABLE}) is a free-threaded build, which was an experiment up to "
    "3.13: Handoff supports those of 3.14 and later. Choose one, or a Python with a GIL, with -DPython3_EXECUTABLE=…")
endif()
if(NOT HANDOFF_PYTHON_HEADERS)
  message(STATUS "Python ${HANDOFF_PYTHON_version}: ${Python3_EXECUTABLE}")
  return()
endif()
if(NOT EXISTS "${HANDOFF_PYTHON_include}/Python.h")
  message(FATAL_ERROR
    "Python ${HANDOFF_PYTHON_version} (${Python3_EXECUTABLE}) has no headers: "
    "${HANDOFF_PYTHON_include}/Python.h does not exist. For the distribution's Python install "
    "libpython${HANDOFF_PYTHON_version}-dev; otherwise choose another, by -DPython3_EXECUTABLE=… or by calling its pip. "
    "gilcheck, giltrace and gilwatch need no headers: pip install ./extension/diagnostics")
endif()

# As find_package(handoff) has them, for a project that has this one as a part.
set(handoff_PYTHON_VERSION "${HANDOFF_PYTHON_version}" CACHE INTERNAL "")
set(handoff_PYTHON_SUFFIX "${HANDOFF_PYTHON_suffix}" CACHE INTERNAL "")

add_library(handoff_python_headers INTERFACE)
add_library(handoff::python_headers ALIAS handoff_python_headers)
set_target_properties(handoff_python_headers PROPERTIES EXPORT_NAME python_headers)
target_include_directories(handoff_python_headers SYSTEM INTERFACE "${HANDOFF_PYTHON_include}")
string(REGEX REPLACE "^.*\\." "" minor "${HANDOFF_PYTHON_version}")
target_compile_definitions(handoff_python_headers INTERFACE HANDOFF_PYTHON_MINOR=${minor})

if(NOT HANDOFF_HOST)
  message(STATUS "Python ${HANDOFF_PYTHON_version}: ${Python3_EXECUTABLE}")
  return()
endif()

# Links and runs a program that starts this Python, imports extension modules and stops. `result`
# becomes TRUE, or the reason why not.
function(_handoff_try_libpython result link_options libraries pie)
  try_run(exit_code compiled
    "${CMAKE_CURRENT_BINARY_DIR}/libpython_test"
    "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/libpython_test.cpp"
    CMAKE_FLAGS
      "-DINCLUDE_DIRECTORIES=${HANDOFF_PYTHON_include}"
      -DCMAKE_POSITION_INDEPENDENT_CODE=${pie}
    LINK_OPTIONS ${link_options}
    LINK_LIBRARIES ${libraries}
    COMPILE_OUTPUT_VARIABLE compile_output
    RUN_OUTPUT_VARIABLE run_output
    ARGS "\"${HANDOFF_PYTHON_executable}\" ${HANDOFF_PYTHON_modules}")
  string(STRIP "${run_output}" run_output)
  if(NOT compiled)
    string(REGEX MATCH "[^\n;]*(undefined |cannot find|unable to find|relocation|error:)[^\n;]*" reason
      "${compile_output}")
    set(reason "it does not link: ${reason}")
  elseif(NOT exit_code STREQUAL "0")
    set(reason "the test program failed (${exit_code}): ${run_output}")
  elseif(NOT run_output STREQUAL HANDOFF_PYTHON_build)
    set(reason "it is another Python: \"${run_output}\" instead of \"${HANDOFF_PYTHON_build}\"")
  else()
    set(reason TRUE)
  endif()
  file(APPEND "${PROJECT_BINARY_DIR}/CMakeFiles/libpython_test.log"
    "==== ${link_options} ${libraries}\n${reason}\n${compile_output}\n")
  set(${result} "${reason}" PARENT_SCOPE)
endfunction()

# Sets HANDOFF_LIBPYTHON_{CHOSEN,REJECTED,LIBRARIES,LINK_OPTIONS,PIE} in the cache.
function(_handoff_choose_libpython)
  unset(chosen)
  set(rejected "")
  # Each candidate is "library|kind", best first. Debian's libpython3.x.a cannot be part of a
  # position-independent executable; its -pic archive can, but is no faster than the shared library.
  set(candidates "")
  if(NOT HANDOFF_LIBPYTHON STREQUAL "shared")
    foreach(archive IN LISTS HANDOFF_PYTHON_archives)
      list(APPEND candidates "${archive}|pie" "${archive}|no-pie")
    endforeach()
  endif()
  if(NOT HANDOFF_LIBPYTHON STREQUAL "static" AND HANDOFF_PYTHON_shared)
    list(APPEND candidates "${HANDOFF_PYTHON_shared}|shared")
  endif()

  foreach(candidate IN LISTS candidates)
    string(REPLACE "|" ";" candidate "${candidate}")
    list(GET candidate 0 library)
    list(GET candidate 1 kind)
    # Extension modules look for Python's functions in the executable: export them.
    set(link_options -rdynamic)
    if(kind STREQUAL "shared")
      set(libraries "${library}")
      set(pie ON)
    else()
      # The whole archive, because an extension module may need what the host does not. One item,
      # so that CMake neither splits nor reorders it.
      set(libraries "-Wl,--whole-archive,${library},--no-whole-archive" ${HANDOFF_PYTHON_libraries})
      list(APPEND link_options "-${kind}")
      string(COMPARE EQUAL "${kind}" "pie" pie)
    endif()
    _handoff_try_libpython(outcome "${link_options}" "${libraries}" ${pie})
    if(outcome STREQUAL "TRUE")
      set(chosen "${library} (${kind})")
      string(COMPARE NOTEQUAL "${kind}" "shared" is_static)
      break()
    endif()
    list(APPEND rejected "${library} (${kind}): ${outcome}")
  endforeach()

  if(NOT chosen)
    list(JOIN rejected "\n  " rejected)
    message(FATAL_ERROR
      "No ${HANDOFF_LIBPYTHON} libpython of Python ${HANDOFF_PYTHON_version} (${Python3_EXECUTABLE}) can be "
      "embedded.\n${rejected}\nFor the distribution's Python install libpython${HANDOFF_PYTHON_version}-dev; "
      "a Python built from source needs its libpython (configure --enable-shared). "
      "See ${PROJECT_BINARY_DIR}/CMakeFiles/libpython_test.log")
  endif()
  set(HANDOFF_LIBPYTHON_CHOSEN "${chosen}" CACHE INTERNAL "")
  set(HANDOFF_LIBPYTHON_REJECTED "${rejected}" CACHE INTERNAL "")
  set(HANDOFF_LIBPYTHON_LIBRARIES "${libraries}" CACHE INTERNAL "")
  set(HANDOFF_LIBPYTHON_LINK_OPTIONS "${link_options}" CACHE INTERNAL "")
  set(HANDOFF_LIBPYTHON_PIE ${pie} CACHE INTERNAL "")
  set(HANDOFF_LIBPYTHON_IS_STATIC ${is_static} CACHE INTERNAL "")
endfunction()

# The answer is kept until something it depends on changes.
set(question "${HANDOFF_LIBPYTHON} ${Python3_EXECUTABLE} ${HANDOFF_PYTHON_FACTS} ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_FLAGS}")
if(NOT question STREQUAL "${HANDOFF_LIBPYTHON_QUESTION}" OR NOT DEFINED HANDOFF_LIBPYTHON_IS_STATIC)
  _handoff_choose_libpython()
  set(HANDOFF_LIBPYTHON_QUESTION "${question}" CACHE INTERNAL "")
endif()
message(STATUS "Python ${HANDOFF_PYTHON_version}: ${Python3_EXECUTABLE}")
message(STATUS "libpython: ${HANDOFF_LIBPYTHON_CHOSEN}")
foreach(reason IN LISTS HANDOFF_LIBPYTHON_REJECTED)
  message(STATUS "  rather than ${reason}")
endforeach()

add_library(handoff_libpython INTERFACE)
add_library(handoff::libpython ALIAS handoff_libpython)
set_target_properties(handoff_libpython PROPERTIES EXPORT_NAME libpython)
target_link_libraries(handoff_libpython INTERFACE handoff_python_headers ${HANDOFF_LIBPYTHON_LIBRARIES})
target_link_options(handoff_libpython INTERFACE ${HANDOFF_LIBPYTHON_LINK_OPTIONS})
if(HANDOFF_LIBPYTHON_IS_STATIC)  # see linked_python.hpp; an installed one is asked again by handoffConfig.cmake
  include("${CMAKE_CURRENT_LIST_DIR}/handoffLinkedPython.cmake")
  handoff_linked_python(linked "${HANDOFF_PYTHON_base_executable}")
  target_compile_definitions(handoff_libpython INTERFACE "$<BUILD_INTERFACE:${linked}>")
endif()
if(HANDOFF_LIBPYTHON_PIE)
  set_target_properties(handoff_libpython PROPERTIES INTERFACE_POSITION_INDEPENDENT_CODE ON)
endif()
