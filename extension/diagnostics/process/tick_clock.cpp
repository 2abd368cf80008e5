// tick_clock: asks the kernel whether the counter is a clock, and compares the two.
#include "tick_clock.hpp"

#include <ctime>
#include <fstream>
#include <limits>
#include <string>

namespace handoff::detail {

std::uint64_t nanoseconds() noexcept {
    timespec read{};
    clock_gettime(CLOCK_MONOTONIC, &read);
    return static_cast<std::uint64_t>(read.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(read.tv_nsec);
}

bool tick_clock::is_the_counter = false;

void tick_clock::ask_the_kernel() noexcept {
    try {
        std::string source;
        std::ifstream("/sys/devices/system/clocksource/clocksource0/current_clocksource") >> source;
        is_the_counter = source == "tsc" || source == "arch_sys_counter";
    } catch (std::exception const&) {
        is_the_counter = false;
    }
}

moment tick_clock::this_moment() noexcept {
    moment best{};
    auto least = std::numeric_limits<std::uint64_t>::max();
    for (int tried = 0; tried < 5; ++tried) {  // one of them is not interrupted
        auto const before = now();
        auto const between = nanoseconds();
        auto const took = now() - before;
        if (took < least) {
            least = took;
            best = {.ticks = before + took / 2, .nanoseconds = between};
        }
    }
    return best;
}

tick_scale::tick_scale(moment one, moment later) noexcept
    : origin_(one),
      nanoseconds_a_tick_(later.ticks == one.ticks
                              ? 1
                              : static_cast<double>(later.nanoseconds - one.nanoseconds) /
                                    static_cast<double>(later.ticks - one.ticks)) {}

std::uint64_t tick_scale::nanoseconds(std::uint64_t ticks) const noexcept {
    auto const since = static_cast<double>(static_cast<std::int64_t>(ticks - origin_.ticks));
    return origin_.nanoseconds + static_cast<std::int64_t>(since * nanoseconds_a_tick_);
}

std::uint64_t tick_scale::ticks_in(double nanoseconds) const noexcept {
    return static_cast<std::uint64_t>(nanoseconds / nanoseconds_a_tick_);
}

}  // namespace handoff::detail
