// source_lines: which line of which source file an instruction was made from.
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

/// "file:line" of each, as binutils' addr2line, or LLVM's under that name, finds it in the debug
/// information; empty where there is none. Starts one process a file, and waits for it.
[[nodiscard]] std::vector<std::string> source_lines(std::span<file_place const> places);

}  // namespace handoff::detail
