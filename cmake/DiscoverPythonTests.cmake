# handoff_discover_python_tests(file.py …): one CTest test for each method of a unittest file.
#
#   handoff_discover_python_tests(<file.py> INTERPRETER <command…> TIMEOUT <seconds>
#                                 [ENVIRONMENT NAME=value …] [PREFIX <name>])
#
# The file is parsed, not imported, by the chosen Python when CMake runs; editing it runs CMake
# again. test_host.py's CommandLine.test_runs_a_script becomes test_host.CommandLine.runs_a_script;
# PREFIX replaces the first part. All have the variables of handoff_environment_of_python_tests. A test whose
# name handoff_left_out_python_tests matches, where that is set, is not added.

set(_handoff_list_python_tests "${CMAKE_CURRENT_LIST_DIR}/list_python_tests.py")

function(handoff_discover_python_tests file)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;PREFIX" "INTERPRETER;ENVIRONMENT")
  if(NOT arg_INTERPRETER OR NOT arg_TIMEOUT OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "handoff_discover_python_tests needs INTERPRETER and TIMEOUT "
      "(not understood: ${arg_UNPARSED_ARGUMENTS})")
  endif()
  cmake_path(ABSOLUTE_PATH file NORMALIZE)
  cmake_path(GET file PARENT_PATH folder)
  cmake_path(GET file STEM module)
  if(NOT arg_PREFIX)
    set(arg_PREFIX "${module}")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")

  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -I "${_handoff_list_python_tests}" "${file}"
    OUTPUT_VARIABLE methods OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE failed)
  if(failed OR methods STREQUAL "")
    message(FATAL_ERROR "${file} has no unittest methods, or cannot be parsed.")
  endif()
  string(REPLACE "\n" ";" methods "${methods}")
  foreach(method IN LISTS methods)
    string(REPLACE ".test_" "." name "${arg_PREFIX}.${method}")
    if(handoff_left_out_python_tests AND name MATCHES "${handoff_left_out_python_tests}")
      continue()
    endif()
    add_test(NAME ${name}
      COMMAND ${arg_INTERPRETER} -m unittest ${module}.${method}
      WORKING_DIRECTORY "${folder}")
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT}
      ENVIRONMENT "${arg_ENVIRONMENT};${handoff_environment_of_python_tests}")
  endforeach()
endfunction()
