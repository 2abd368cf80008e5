# handoff_flags(target…): the language, warnings and hardening of our own targets.

# CI is set to true by every continuous integration; a user's newer compiler may warn of more.
option(HANDOFF_WARNINGS_AS_ERRORS "A warning fails the build" $ENV{CI})
set(HANDOFF_SANITIZE "" CACHE STRING "Sanitizer of our own code: address, thread, undefined or empty")

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
      -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
      -Wold-style-cast -Wcast-align -Wformat=2
      $<$<BOOL:${HANDOFF_WARNINGS_AS_ERRORS}>:-Werror>
      -fstack-protector-strong)
    target_link_options(${target} PRIVATE -Wl,-z,relro,-z,now)
    if(HANDOFF_SANITIZE)
      target_compile_options(${target} PRIVATE -fsanitize=${HANDOFF_SANITIZE} -fno-omit-frame-pointer)
      target_link_options(${target} PUBLIC -fsanitize=${HANDOFF_SANITIZE})
    else()
      # Not both: the sanitizers do not see through the fortified functions.
      target_compile_options(${target} PRIVATE $<${optimised}:-U_FORTIFY_SOURCE>
        $<${optimised}:-D_FORTIFY_SOURCE=2>)
    endif()
  endforeach()
endfunction()
