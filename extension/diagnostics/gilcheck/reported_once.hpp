// reported_once: what is reported the first time only, each known by a number.
#pragma once

#include "mixed.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace handoff::detail {

/// Neither waits nor allocates: it is asked where a program may hold any lock. Most is a power of
/// two. Threads: any.
template <std::size_t Most>
class reported_once {
public:
    /// Whether it is asked for the number, which is not 0, for the first time. Where there is no
    /// room for another, it says that it is not.
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
