// stack_lines(): a stack as a report shows it.
#pragma once

#include "call_frames.hpp"

#include <span>
#include <string>

namespace handoff::detail {

/// A line for each frame of the user's, with a mark at the first; for the innermost frame; and for
/// what the user's first one called. The others are counted, not shown. Each line ends with a line
/// break.
[[nodiscard]] std::string stack_lines(std::span<call_frame const> frames);

}  // namespace handoff::detail
