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

    std::vector<sighting> sightings;
    std::map<std::uint32_t, std::string>
        stacks;  // numbers of places; or "?" and why there are none
    std::map<std::uint32_t, code_place> places;
};

}  // namespace handoff::detail
