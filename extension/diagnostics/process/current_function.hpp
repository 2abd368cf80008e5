// current_function: which Python function a thread executes, read without the GIL's API.
//
// It allocates nothing and calls nothing in Python, so it may be used where no C API may be: when a
// thread has just released the GIL and no other can take it yet. It knows Python 3.11 to 3.15,
// whichever version it was compiled with.
#pragma once

#include "python_layout.h"
#include "running_python.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace handoff::detail {

/// References are borrowed; all null: no Python function is being executed.
struct python_function {
    void const* code = nullptr;  // a PyCodeObject
    void const* name = nullptr;  // its qualified name, a str
    void const* file = nullptr;  // a str
    int line = 0;  // where it begins

    bool operator==(python_function const&) const = default;
};

/// How the frames of one Python are read.
class function_reader {
public:
    /// For a Python that is not known.
    constexpr function_reader() = default;
    /// Source: each version's internal/pycore_frame.h or pycore_interpframe_structs.h,
    /// cpython/code.h
    ///         and cpython/unicodeobject.h; the layouts do not change within a minor version.
    explicit function_reader(running_python const& python) noexcept;

    /// Whether it knows this Python's objects: not those of another version, or of a build that
    /// traces references.
    [[nodiscard]] bool knows() const noexcept { return layout_ != nullptr; }

    /// For a thread that is in no other function meanwhile. state: its PyThreadState.
    /// REQUIRES: knows().
    [[nodiscard]] python_function current(void const* state) const noexcept;

    /// The line that it executes; during a call, the call's line. Returns: 0: there is none, or it
    /// is not known. REQUIRES: as current().
    [[nodiscard]] int current_line(void const* state) const noexcept;

    /// Writes a str as UTF-8, without a zero, as far as there is room. Returns: its end.
    /// REQUIRES: knows().
    char* write_utf8(void const* str, std::span<char> to) const noexcept;

    /// Writes the function and its place: its name, a line break, `file.py:12`, and a zero. Leaves
    /// out what has no room. REQUIRES: knows(); to has more than 32 bytes.
    void write_place(python_function const& function, int line, std::span<char> to) const noexcept;

    /// Null: of another version.
    static handoff_python_layout const* layout_of(unsigned long version,
                                                  bool is_free_threaded) noexcept;

private:
    /// Of Python's; null: there is none.
    struct python_frame {
        void const* its = nullptr;
        void const* code = nullptr;
    };
    [[nodiscard]] python_frame innermost(void const* state) const noexcept;
    [[nodiscard]] char const* first_instruction(void const* frame, void const* code) const noexcept;

    handoff_python_layout const* layout_ = nullptr;
    void const* code_type_ = nullptr;
};

/// "f (file.py:12)", from what write_place() has written.
[[nodiscard]] std::string place_in_words(std::string_view written);

}  // namespace handoff::detail
