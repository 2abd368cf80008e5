// stack: a thread's C++ stack as text. Does not know Python.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace handoff::detail {

/// Names the functions of a process, also those that their file does not export: hidden, static,
/// in an anonymous namespace. Reads each file once. In a stripped file it knows only the exported
/// functions.
class symbols {
public:
    struct place {
        std::string function;  // demangled; empty if there is no name
        std::string file;
        std::uintptr_t offset = 0;  // in the file, as `addr2line -e` expects it
    };

    /// Where an instruction is. For an object with static storage, `function` is the object's name.
    [[nodiscard]] place find(void const* instruction);

    /// The function at a place in a file, demangled. exported: its name, if the loader knows one.
    [[nodiscard]] std::string function_at(std::string const& file, std::uintptr_t offset,
                                          char const* exported);

private:
    struct function {
        std::uintptr_t begin;
        std::uintptr_t end;
        std::string name;
    };

    [[nodiscard]] static std::vector<function> read(std::string const& name);
    [[nodiscard]] std::string own_name(std::string const& file, std::uintptr_t offset);

    std::map<std::string, std::vector<function>> functions_;  // of each file
};

/// One line for each frame, the innermost first, as backtrace() gives them.
[[nodiscard]] std::string stack_text(symbols& names, std::span<void* const> frames);

/// The calling thread's stack, without this function's own frame.
[[nodiscard]] std::string stack_text();

}  // namespace handoff::detail
