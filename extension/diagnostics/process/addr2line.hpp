// addr2line: which lines of which source file an instruction was made from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace handoff::detail {

/// A place in a program or library, as `addr2line -e file offset` takes it.
struct file_place {
    std::string file;
    std::uintptr_t offset;
};

/// A function, and the line of it that is being executed.
struct source_line {
    std::string function;  // demangled; empty: unknown
    std::string line;      // file:line; empty: unknown
};

/// For each place, what binutils' addr2line (or LLVM's under that name) finds in the debug
/// information: inlined functions, the innermost first, and the function itself last. Empty if it
/// finds nothing. Starts one process per file, and waits for it.
[[nodiscard]] std::vector<std::vector<source_line>> source_lines(
    std::span<file_place const> places);

/// Whether the tool is there: in a folder of the variable PATH. Threads: as getenv().
[[nodiscard]] bool has_addr2line();

}  // namespace handoff::detail
