// line_information: what debug information a program or library has for its source lines.
#pragma once

#include <string>

namespace handoff::detail {

/// Of an ELF file.
struct line_information {
    bool is_read = false;    // else nothing is known of it: it is gone, or no ELF file
    bool has_lines = false;  // it was compiled with -g, and nothing was taken from it
    bool has_names = false;  // of functions that it does not export: it was not stripped
};

/// Source: elf(5); DWARF 5, section 7.1: the lines are in .debug_line, which older linkers called
///         .zdebug_line where it was compressed.
[[nodiscard]] line_information line_information_in(std::string const& file);

}  // namespace handoff::detail
