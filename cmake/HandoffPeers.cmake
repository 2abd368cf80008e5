# pybind11 and nanobind, of which the benchmarks and the checker's tests build modules.
#
# They come from PyPI: their headers are where some Python has them, whichever the modules are for.
# Defines handoff_pybind11 and handoff_nanobind; or, without both, HANDOFF_PEERS_MISSING says why.

set(HANDOFF_PEERS_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH
  "A Python that has pybind11 and nanobind, for their headers")
execute_process(
  COMMAND "${HANDOFF_PEERS_PYTHON}" -c "import pybind11, nanobind; print(\
pybind11.get_include(), nanobind.include_dir(), nanobind.source_dir(), sep=';', end='')"
  OUTPUT_VARIABLE peers ERROR_VARIABLE reason ERROR_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
set(HANDOFF_PEERS_MISSING "")
if(failed)
  string(REGEX REPLACE "^.*\n" "" reason "${reason}")  # of a traceback, the last line
  if(reason STREQUAL "")
    set(reason "${failed}")  # it could not be run
  endif()
  set(HANDOFF_PEERS_MISSING
    "${HANDOFF_PEERS_PYTHON} has not both pybind11 and nanobind (${reason})")
  return()
endif()
list(GET peers 0 pybind11_include)
list(GET peers 1 nanobind_include)
list(GET peers 2 nanobind_source)

add_library(handoff_pybind11 INTERFACE)
target_include_directories(handoff_pybind11 SYSTEM INTERFACE "${pybind11_include}")
target_link_libraries(handoff_pybind11 INTERFACE handoff_python_headers)

add_library(handoff_nanobind STATIC EXCLUDE_FROM_ALL "${nanobind_source}/nb_combined.cpp")
target_compile_features(handoff_nanobind PUBLIC cxx_std_20)
target_compile_options(handoff_nanobind PRIVATE -fno-strict-aliasing)  # as its own CMake does
target_include_directories(handoff_nanobind SYSTEM
  PUBLIC "${nanobind_include}"
  PRIVATE "${nanobind_source}/../ext/robin_map/include")
set_target_properties(handoff_nanobind PROPERTIES
  POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden)
target_link_libraries(handoff_nanobind PUBLIC handoff_python_headers)
