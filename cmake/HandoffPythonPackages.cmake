# What any Python imports: put together in <build>/python, built by target python_packages, and installed as a
# component that is called as the distribution that pip makes of it.
#
#   handoff_python_module(<target> COMPONENT <name> STUB <file> OTHERWISE <file>)
#       a module, its types, and what another Python finds there
#   handoff_python_package(<name> COMPONENT <name> [LIBRARY <target>] SOURCES <file…> [HEADERS <file…>])
#       a package, perhaps with a library beside its sources, and headers below it where they are below the current folder

set(HANDOFF_INSTALL_PYTHONDIR "${HANDOFF_PYTHON_packages}" CACHE STRING
  "Where Python packages are installed, below the prefix")
set(_handoff_packages "${PROJECT_BINARY_DIR}/python")
add_custom_target(python_packages)

function(handoff_python_module target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "COMPONENT;STUB;OTHERWISE" "")
  handoff_flags(${target})
  set_target_properties(${target} PROPERTIES
    PREFIX "" SUFFIX "${HANDOFF_PYTHON_suffix}" LIBRARY_OUTPUT_DIRECTORY "${_handoff_packages}")
  add_dependencies(python_packages ${target})
  configure_file("${arg_OTHERWISE}" "${_handoff_packages}/${target}.py" COPYONLY)
  if(NOT HANDOFF_INSTALL)
    return()
  endif()
  install(TARGETS ${target} LIBRARY DESTINATION "${HANDOFF_INSTALL_PYTHONDIR}" COMPONENT "${arg_COMPONENT}")
  install(FILES "${arg_OTHERWISE}" DESTINATION "${HANDOFF_INSTALL_PYTHONDIR}" COMPONENT "${arg_COMPONENT}")
  # PEP 561: a stub beside a module that is no package, mypy does not find.
  install(FILES "${arg_STUB}" DESTINATION "${HANDOFF_INSTALL_PYTHONDIR}/${target}-stubs"
    RENAME __init__.pyi COMPONENT "${arg_COMPONENT}")
endfunction()

function(handoff_python_package name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "COMPONENT;LIBRARY" "SOURCES;HEADERS")
  set(folder "${HANDOFF_INSTALL_PYTHONDIR}/${name}")
  if(arg_LIBRARY)
    set_target_properties(${arg_LIBRARY} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${_handoff_packages}/${name}")
    add_dependencies(python_packages ${arg_LIBRARY})
  endif()
  set(made "")
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(GET source FILENAME file)
    configure_file("${source}" "${_handoff_packages}/${name}/${file}" @ONLY)  # @PROJECT_VERSION@
    list(APPEND made "${_handoff_packages}/${name}/${file}")
  endforeach()
  foreach(header IN LISTS arg_HEADERS)
    configure_file("${header}" "${_handoff_packages}/${name}/${header}" COPYONLY)
  endforeach()
  if(NOT HANDOFF_INSTALL)
    return()
  endif()
  install(FILES ${made} DESTINATION "${folder}" COMPONENT "${arg_COMPONENT}")
  if(arg_LIBRARY)
    install(TARGETS ${arg_LIBRARY} LIBRARY DESTINATION "${folder}" COMPONENT "${arg_COMPONENT}")
  endif()
  foreach(header IN LISTS arg_HEADERS)
    cmake_path(GET header PARENT_PATH below)
    install(FILES "${header}" DESTINATION "${folder}/${below}" COMPONENT "${arg_COMPONENT}")
  endforeach()
endfunction()
