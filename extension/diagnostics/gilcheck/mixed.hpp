// mixed: a hash of a number, for tables and caches that need no other.
#pragma once

#include <cstdint>

namespace handoff::detail {

/// Each of its lower bits depends on lower and upper bits of the value. Source: Knuth, The Art
/// of Computer Programming, 6.4, multiplicative hashing by the golden ratio.
constexpr std::uint64_t mixed(std::uint64_t value) noexcept {
    value *= 0x9E3779B97F4A7C15U;
    return value ^ value >> 29U;
}

}  // namespace handoff::detail
