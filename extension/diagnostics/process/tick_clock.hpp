// tick_clock: the processor's own counter, read in a third of the time that CLOCK_MONOTONIC takes.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace handoff::detail {

/// One moment, by both clocks.
struct moment {
    std::uint64_t ticks;
    std::uint64_t nanoseconds;  // of CLOCK_MONOTONIC
};

/// Nanoseconds of CLOCK_MONOTONIC.
[[nodiscard]] std::uint64_t nanoseconds() noexcept;

namespace tick_clock {

/// Whether the kernel takes the time from the counter itself: a counter that is the same on all
/// processors, and has a constant speed. (Linux, Documentation/virt/kvm/x86/timekeeping.rst.) Known
/// after ask_the_kernel().
extern bool is_the_counter;

/// Once, before the first tick.
void ask_the_kernel() noexcept;

/// Ticks of the counter; nanoseconds if the kernel does not use it. A reading may be a few ticks
/// earlier than one that another thread has made just before.
[[nodiscard]] inline std::uint64_t now() noexcept {
    if (is_the_counter) [[likely]] {
#if defined(__x86_64__)
        return __rdtsc();
#elif defined(__aarch64__)
        std::uint64_t counted = 0;
        asm volatile("mrs %0, cntvct_el0" : "=r"(counted));
        return counted;
#endif
    }
    return nanoseconds();
}

/// Now, by both clocks, within some ten nanoseconds.
[[nodiscard]] moment this_moment() noexcept;

}  // namespace tick_clock

/// The length of ticks in nanoseconds, known from two moments.
class tick_scale {
public:
    tick_scale(moment one, moment later) noexcept;
    [[nodiscard]] std::uint64_t nanoseconds(std::uint64_t ticks) const noexcept;
    /// How many ticks pass in so many nanoseconds.
    [[nodiscard]] std::uint64_t ticks_in(double nanoseconds) const noexcept;

private:
    moment origin_;
    double nanoseconds_a_tick_;
};

}  // namespace handoff::detail
