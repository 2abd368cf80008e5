# handoff_linked_python(result program): the definition that says which Python's static library a program gets.
#
# It is installed, too: what a user's project links is what is there when that is configured.
function(handoff_linked_python result program)
  set(${result} "" PARENT_SCOPE)
  if(EXISTS "${program}")
    file(SIZE "${program}" size)
    file(TIMESTAMP "${program}" modified "%s" UTC)
    set(${result} "HANDOFF_LINKED_PYTHON=\"${program}\",${size},${modified}" PARENT_SCOPE)
  endif()
endfunction()
