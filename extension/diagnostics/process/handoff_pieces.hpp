// handoff_pieces: what is the cure for what a module does: the guards of the library that binds it,
// or a piece of Handoff.
#pragma once

#include "call_frames.hpp"

#include <span>
#include <string>
#include <string_view>

namespace handoff::detail {

/// The guards that release the GIL, with commas between: first that of the binding library on the
/// stack, and those of all where none is, or two are.
[[nodiscard]] std::string guards_that_release(std::span<call_frame const> frames);

/// The same for those that acquire it.
[[nodiscard]] std::string guards_that_acquire(std::span<call_frame const> frames);

/// The piece through which Python should call the user's outermost function without the GIL: for a
/// class's destructor, its constructor, or a function. Empty: Boost.Python has not called it.
/// frames: not further out than the Python function that called.
[[nodiscard]] std::string_view piece_that_releases(std::span<call_frame const> frames) noexcept;

/// What happens to a thread that asks for the GIL while Python ends, and what to do.
inline constexpr std::string_view threads_at_pythons_end =
    "Up to 3.13, CPython then ends each thread that asks for the GIL, and C++ code may answer with "
    "terminate(). End such a thread before, or take the GIL with handoff::gil_try_acquire, which "
    "refuses it then\n";

/// Whether ctypes calls a function and keeps the GIL. frames: of a thread that holds it, not
/// further out than the Python function that called.
[[nodiscard]] bool calls_by_pydll(std::span<call_frame const> frames) noexcept;

/// The piece that takes the GIL for what Boost.Python calls: an override, or a Python function.
/// Empty: it calls none. called: the function of the C API.
[[nodiscard]] std::string_view piece_that_calls(std::string_view called,
                                                std::span<call_frame const> frames) noexcept;

}  // namespace handoff::detail
