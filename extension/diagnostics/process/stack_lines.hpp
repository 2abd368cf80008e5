// stack_lines(): a stack as a report shows it.
#pragma once

#include "call_frames.hpp"

#include <span>
#include <string>

namespace handoff::detail {

/// A line for each frame that is the user's, marked where it is the first; and for the innermost,
/// and for what the user's first one called. What is left is counted, not shown. Each line ends
/// with a line break.
[[nodiscard]] std::string stack_lines(std::span<call_frame const> frames);

}  // namespace handoff::detail
