# Boost.Python for exactly the chosen Python, and GoogleTest: from the distribution or from Conan.

# Both ship a BoostConfig.cmake; CMake's own FindBoost is obsolete.
string(REPLACE "." "" python_tag "python${HANDOFF_PYTHON_version}")
# Shared by default: each copy of the library has its own registry of converters, and a host that
# contains one statically could not exchange types with other Boost.Python modules.
if(NOT DEFINED Boost_USE_STATIC_LIBS)
  set(Boost_USE_STATIC_LIBS OFF)
endif()
find_package(Boost 1.74 CONFIG QUIET COMPONENTS ${python_tag})

# Conan's targets exist even for a component that Boost was not built with, hence the test of both.
if(NOT Boost_FOUND OR NOT (TARGET Boost::${python_tag} OR TARGET boost::${python_tag}))
  set(others "")
  foreach(folder IN LISTS Boost_DIR Boost_CONSIDERED_CONFIGS)
    if(folder MATCHES "\\.cmake$")
      cmake_path(GET folder PARENT_PATH folder)
    endif()
    file(GLOB variants "${folder}/../boost_python-*/libboost_python-variant-shared-py*.cmake")
    foreach(variant IN LISTS variants)
      string(REGEX REPLACE ".*-py(.*)\\.cmake" "\\1" variant "${variant}")
      list(APPEND others "${variant}")
    endforeach()
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
    "libboost-python-dev for the distribution's Python, or let Conan build Boost for yours (make PROFILE=conancenter).")
endif()
message(STATUS "Boost.Python ${Boost_VERSION} for Python ${HANDOFF_PYTHON_version}: ${Boost_DIR}")
# Its own headers include deprecated ones of Boost, which say so in every file that includes them.
target_compile_definitions(Boost::python INTERFACE
  BOOST_BIND_GLOBAL_PLACEHOLDERS BOOST_ALLOW_DEPRECATED_HEADERS)

if(BUILD_TESTING)
  find_package(GTest 1.10 CONFIG REQUIRED)
endif()
