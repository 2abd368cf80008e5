// stacks_seen: where threads were seen that held the GIL for long, as a recording has it.
#pragma once

#include "call_frames.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace handoff::detail {

struct stacks_seen {
    struct sighting {
        std::uint64_t when;   // nanoseconds of CLOCK_MONOTONIC
        std::uint32_t stack;  // of stacks
    };

    /// A hold that ended at a line of Python.
    struct end_at_line {
        std::uint64_t when;  // nanoseconds of CLOCK_MONOTONIC
        std::uint32_t line;  // of lines
    };

    std::vector<sighting> sightings;
    std::vector<end_at_line> ends;
    std::map<std::uint32_t, std::string> lines;  // a function and its line, as it is shown
    std::map<std::uint32_t, std::string>
        stacks;  // numbers of places; or "?" and why there are none
    std::map<std::uint32_t, code_place> places;
};

}  // namespace handoff::detail
