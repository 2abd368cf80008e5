# Boost.Python for exactly the chosen Python, and GoogleTest: from the distribution or from Conan.
#
# Defines handoff::boost_python: Boost's own name for it depends on who packaged it.

# Both ship a BoostConfig.cmake; CMake's own FindBoost is obsolete.
string(REPLACE "." "" python_tag "python${HANDOFF_PYTHON_version}")
# Recent versions look for Python themselves, and would take the newest.
set(Python_INCLUDE_DIR "${HANDOFF_PYTHON_include}")
set(Python_LIBRARY "${HANDOFF_PYTHON_library}")
# Shared by default: each copy of the library has its own registry of converters, and a host that
# contains one statically could not exchange types with other Boost.Python modules.
if(NOT DEFINED Boost_USE_STATIC_LIBS)
  set(Boost_USE_STATIC_LIBS OFF)
endif()
# Beside a Python that was built from source there may be a Boost.Python for it.
find_package(Boost 1.74 CONFIG QUIET COMPONENTS ${python_tag} HINTS "${HANDOFF_PYTHON_prefix}")

set(HANDOFF_BOOST_PYTHON_target Boost::${python_tag})
if(NOT TARGET ${HANDOFF_BOOST_PYTHON_target} AND TARGET boost::${python_tag})
  set(HANDOFF_BOOST_PYTHON_target Boost::python)  # Conan's
endif()
if(NOT Boost_FOUND OR NOT TARGET ${HANDOFF_BOOST_PYTHON_target})
  set(others "")
  file(GLOB variants
    "${Boost_DIR}/../boost_python-*/libboost_python-variant-shared-py*.cmake"
    "${Boost_DIR}/../boost_python3*-shared")
  foreach(variant IN LISTS variants)
    if(variant MATCHES "(-shared-py|boost_python)(3[0-9.]+)(\\.cmake$|-)")
      string(REGEX REPLACE "^3([0-9])" "3.\\1" version "${CMAKE_MATCH_2}")
      list(APPEND others "${version}")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES others)
  list(JOIN others ", " others)
  if(others)
    set(found "The Boost.Python found (${Boost_DIR}) is for Python ${others}.")
  else()
    set(found "No Boost.Python was found (Boost_DIR: ${Boost_DIR}).")
  endif()
  message(FATAL_ERROR
    "Python ${HANDOFF_PYTHON_version} (${Python3_EXECUTABLE}) was chosen, but there is no Boost.Python "
    "(1.74 or later) for it. ${found}\n"
    "Choose a Python that matches (make PYTHON=/usr/bin/python3, or -DPython3_EXECUTABLE=…), install "
    "libboost-python-dev for the distribution's Python, let Conan build Boost for yours (make PROFILE=conancenter), or "
    "build Boost.Python for it from the distribution's source: cmake/build_boost_python.py ${Python3_EXECUTABLE}. "
    "The GIL toolkit and the tools need no Boost: -DHANDOFF_BOOST_PYTHON=OFF builds these alone; "
    "pip install ./extension/diagnostics installs gilcheck, giltrace and gilwatch")
endif()
if(NOT HANDOFF_PYTHON_gil)
  # A Boost.Python for a Python with a GIL has the same name, links, and corrupts the first object that it touches.
  get_target_property(boost_python_library ${HANDOFF_BOOST_PYTHON_target} LOCATION)
  file(STRINGS "${boost_python_library}" free_threaded LIMIT_COUNT 1 REGEX "_Py_DecRefShared")
  if(Boost_VERSION VERSION_LESS 1.92 OR NOT free_threaded)
    message(FATAL_ERROR
      "Python ${HANDOFF_PYTHON_version} (${Python3_EXECUTABLE}) is a free-threaded build, and the Boost.Python "
      "that was found is not for one: Boost ${Boost_VERSION}, ${boost_python_library}. It takes Boost 1.92 or later, "
      "built for this Python: cmake/build_boost_python.py ${Python3_EXECUTABLE} builds it")
  endif()
endif()
if(TARGET Python::Module)
  get_target_property(headers Python::Module INTERFACE_INCLUDE_DIRECTORIES)
  if(NOT HANDOFF_PYTHON_include IN_LIST headers)
    message(FATAL_ERROR "Boost.Python would use the headers of another Python: ${headers} instead of "
      "${HANDOFF_PYTHON_include}. Say which one with -DPython_ROOT_DIR=…")
  endif()
endif()

message(STATUS "Boost.Python ${Boost_VERSION} for Python ${HANDOFF_PYTHON_version}: ${Boost_DIR}")
add_library(handoff_boost_python INTERFACE)
add_library(handoff::boost_python ALIAS handoff_boost_python)
set_target_properties(handoff_boost_python PROPERTIES EXPORT_NAME boost_python)
target_link_libraries(handoff_boost_python INTERFACE ${HANDOFF_BOOST_PYTHON_target})
# Its own headers include deprecated ones of Boost, which say so in every file that includes them.
set(HANDOFF_BOOST_PYTHON_settings BOOST_BIND_GLOBAL_PLACEHOLDERS BOOST_ALLOW_DEPRECATED_HEADERS)
target_compile_definitions(handoff_boost_python INTERFACE ${HANDOFF_BOOST_PYTHON_settings})

if(BUILD_TESTING)
  find_package(GTest 1.10 CONFIG REQUIRED)
endif()
