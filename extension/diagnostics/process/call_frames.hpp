// call_frames: a C++ stack with inlined functions, source lines, and which frame is the user's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace handoff::detail {

/// Whose code a frame is.
enum class code_of {
    user,
    python,    // CPython's
    binding,   // Boost.Python, pybind11, nanobind, Handoff
    standard,  // C's and C++'s standard libraries, Boost's
    tool,      // gilcheck, giltrace, gilwatch
};

/// One function of a stack.
struct call_frame {
    std::string function;  // demangled; empty: unknown
    std::string source;    // file:line; empty: there is no debug information
    std::string file;      // a program or a library ...
    std::uintptr_t offset = 0;  // ... and the place in it, as `addr2line -e` takes it
    code_of whose = code_of::user;
};

/// Sets whose a frame is; all else in it is known. Names the user's lambda that a library's
/// template was made for. beside_python: it is in the file that contains the interpreter.
void find_owner(call_frame& frame, bool beside_python);

/// An instruction, in a form that another process also understands.
struct code_place {
    std::string file;  // with its whole path; "?": of none
    std::uintptr_t offset = 0;
    std::uintptr_t function = 0;  // where its function begins, as the unwinder knows it; 0: unknown
    std::string exported;  // the function's name, if the loader knows one; not demangled
    bool beside_python = false;  // in the object that contains the interpreter
};

/// Reads no file. Asks the loader: whatever thread it waits for may wait for the GIL, so no other
/// thread may wait for the caller. Threads: any. GIL: any; not touched.
[[nodiscard]] code_place place_of(void const* instruction);

/// For each instruction, the functions that are inlined there, the innermost first, and then the
/// function that it is in, as addr2line (package binutils) finds them in the debug information.
/// Starts one process per file, and waits for it. Threads: any. GIL: any; not touched.
[[nodiscard]] std::vector<std::vector<call_frame>> call_frames_of_each(
    std::span<void const* const> instructions);

/// The same for places, also of another process.
[[nodiscard]] std::vector<std::vector<call_frame>> call_frames_of_each(
    std::span<code_place const> places);

/// The same for one stack, in one piece; the first is its innermost instruction.
[[nodiscard]] std::vector<call_frame> call_frames(std::span<void const* const> instructions);

/// The part of a stack that is of interest: as far as the Python function that called it.
[[nodiscard]] std::span<call_frame const> called_by_python(
    std::span<call_frame const> frames) noexcept;

/// The first frame that is the user's: where to look. One whose function is known comes before one
/// that has no name. Null: there is none.
[[nodiscard]] call_frame const* users_frame(std::span<call_frame const> frames) noexcept;

/// A call with which the user's function ended, and to which it gave its frame. The next frame is
/// then a binding library's template, in the user's module.
struct call_without_caller {
    std::string function;  // that was called: "std::thread::join()"
    std::string module;  // the file that called it, without its folder

    /// Why there is no frame, and how to get one.
    static constexpr std::string_view reason =
        "left no frame, because this call was its last action (compile it with "
        "-fno-optimize-sibling-calls to see it)";
};

/// As part of a sentence.
[[nodiscard]] std::string in_words(call_without_caller const& call);

/// What a stack shows in place of the user's frame. Empty: it shows that frame, or nothing.
[[nodiscard]] std::optional<call_without_caller> find_call_without_caller(
    std::span<call_frame const> frames);

/// Whether it drops the last copy of a std::shared_ptr that Boost.Python made of a Python object.
[[nodiscard]] bool drops_shared_ptr_of_python(std::span<call_frame const> frames) noexcept;

/// "f()"; "a function inlined in f()" if no more is known; empty: unknown.
[[nodiscard]] std::string function_in_words(call_frame const& frame);

/// "f() at file.cpp:12"; without the line or the name, the file instead.
[[nodiscard]] std::string briefly(call_frame const& frame);

/// The same, and why it is missing, for which it reads the file.
[[nodiscard]] std::string in_words(call_frame const& frame);

/// How to get the missing lines of a file's functions: only what the file lacks.
[[nodiscard]] std::string cure_of_lines(std::string const& file);

/// The same as one line of a stack, with its file.
[[nodiscard]] std::string in_full(call_frame const& frame);

/// "… 57 more", for frames further out in a stack: see walk_stack().
[[nodiscard]] std::string more_frames(std::size_t left_out);

}  // namespace handoff::detail
