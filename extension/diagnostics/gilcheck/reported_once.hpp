// reported_once: remembers what was reported, by numbers, so that it is reported only once.
#pragma once

#include "mixed.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace handoff::detail {

/// Neither waits nor allocates, because it is called where a program may hold any lock. Most is a
/// power of two. Threads: any.
template <std::size_t Most>
class reported_once {
public:
    /// Whether this is the first call with this number, which is not 0. If there is no room for
    /// another number, it returns false.
    [[nodiscard]] bool is_first(std::uint64_t number) noexcept {
        auto const begin = static_cast<std::size_t>(mixed(number));
        for (std::size_t probe = 0; probe < Most; ++probe) {
            std::uint64_t known = 0;
            if (known_[(begin + probe) & (Most - 1)].compare_exchange_strong(known, number)) {
                return true;
            }
            if (known == number) {
                return false;
            }
        }
        return false;
    }

private:
    static_assert((Most & (Most - 1)) == 0);
    std::array<std::atomic<std::uint64_t>, Most> known_{};
};

}  // namespace handoff::detail
