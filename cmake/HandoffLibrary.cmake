# handoff_add_library(name source…): a static library handoff::name, whose headers are in include/.
function(handoff_add_library name)
  set(target handoff_${name})
  add_library(${target} STATIC ${ARGN})
  add_library(handoff::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  handoff_flags(${target})
  if(IS_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/include")
    target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>)
  endif()
endfunction()

# handoff_embed_text(name file symbol): the file's text becomes a part of library handoff::name, as
# `extern char const* const symbol`. Editing the file runs CMake again.
function(handoff_embed_text name file symbol)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(READ "${file}" text)
  cmake_path(GET file STEM stem)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${stem}_text.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[// Made of @file@.
extern char const* const @symbol@;
char const* const @symbol@ = R"embedded(@text@)embedded";
]])
  target_sources(handoff_${name} PRIVATE "${source}")
endfunction()
