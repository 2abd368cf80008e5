// call_frames: a C++ stack with inlined functions, source lines, and which frame is the user's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace handoff::detail {

/// Whose code a frame is.
enum class code_of {
    user,
    python,    // CPython's
    binding,   // Boost.Python, pybind11, nanobind, Handoff
    standard,  // C's and C++'s standard libraries, Boost's
};

/// One function of a stack.
struct call_frame {
    std::string function;  // demangled; empty: unknown
    std::string source;    // file:line; empty: there is no debug information
    std::string file;      // a program or a library ...
    std::uintptr_t offset = 0;  // ... and the place in it, as `addr2line -e` takes it
    code_of whose = code_of::user;
};

/// Sets whose a frame is, of which all else is known; and names the user's lambda that a library's
/// template was made for. beside_python: it is in the file that contains the interpreter.
void find_owner(call_frame& frame, bool beside_python);

/// An instruction, as another process understands it, too.
struct code_place {
    std::string file;  // with its whole path; "?": of none
    std::uintptr_t offset = 0;
    std::uintptr_t function = 0;  // where its function begins, as the unwinder knows it; 0: unknown
    std::string exported;  // the function's name, if the loader knows one; not demangled
    bool beside_python = false;  // in the object that contains the interpreter
};

/// Reads no file. Asks the loader: whoever it waits for may wait for the GIL, so that nobody may
/// wait for the caller. Threads: any. GIL: any; not touched.
[[nodiscard]] code_place place_of(void const* instruction);

/// Of each instruction the function that it is in, after those that were inlined there, the
/// innermost first, as addr2line (package binutils) finds them in the debug information. Starts one
/// process a file, and waits for it. Threads: any. GIL: any; not touched.
[[nodiscard]] std::vector<std::vector<call_frame>> call_frames_of_each(
    std::span<void const* const> instructions);

/// The same of places, perhaps another process's.
[[nodiscard]] std::vector<std::vector<call_frame>> call_frames_of_each(
    std::span<code_place const> places);

/// The same in one piece: of a stack, whose innermost instruction is the first.
[[nodiscard]] std::vector<call_frame> call_frames(std::span<void const* const> instructions);

/// How far a stack is of interest: not further out than the Python function that called it.
[[nodiscard]] std::span<call_frame const> called_by_python(
    std::span<call_frame const> frames) noexcept;

/// The first that is the user's: where to look. Null: there is none.
[[nodiscard]] call_frame const* users_frame(std::span<call_frame const> frames) noexcept;

/// Whether the last copy goes of a std::shared_ptr that Boost.Python has made of a Python object.
[[nodiscard]] bool drops_shared_ptr_of_python(std::span<call_frame const> frames) noexcept;

/// "f()"; "a function inlined in f()", of which no more is known; empty: unknown.
[[nodiscard]] std::string function_in_words(call_frame const& frame);

/// "f() at file.cpp:12", or, where the line or the name is not to be had, the file instead.
[[nodiscard]] std::string briefly(call_frame const& frame);

/// The same, and why it is not to be had, which reads the file.
[[nodiscard]] std::string in_words(call_frame const& frame);

/// What to do to have the lines of a file's functions that are not known: no more than it lacks.
[[nodiscard]] std::string cure_of_lines(std::string const& file);

/// The same in one line of a stack, with the file it is in.
[[nodiscard]] std::string in_full(call_frame const& frame);

/// "… 57 more", of frames that a stack has further out: see walk_stack().
[[nodiscard]] std::string more_frames(std::size_t left_out);

}  // namespace handoff::detail
