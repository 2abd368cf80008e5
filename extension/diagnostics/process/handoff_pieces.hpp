// handoff_pieces: which of Handoff's pieces cures what a module of Boost.Python does.
#pragma once

#include "call_frames.hpp"

#include <span>
#include <string_view>

namespace handoff::detail {

/// The piece by which Python calls the user's outermost function without the GIL, by whether that
/// is a class's destructor, its constructor or a function. Empty: Boost.Python has not called it,
/// or none of the user's is seen. frames: not further out than the Python function that called.
[[nodiscard]] std::string_view piece_that_releases(std::span<call_frame const> frames) noexcept;

/// The piece that takes the GIL for what Boost.Python calls: an override, or a Python function.
/// Empty: it calls none. called: the C API's function.
[[nodiscard]] std::string_view piece_that_calls(std::string_view called,
                                                std::span<call_frame const> frames) noexcept;

}  // namespace handoff::detail
