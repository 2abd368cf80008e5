// assertion: in a debug build, reports code that breaks a rule about the GIL, and aborts.
#pragma once

#include <string_view>

namespace handoff::detail {

/// Says on stderr which thread did what, why that is wrong, what to do, and where it was: its C++
/// stack. Then aborts.
[[noreturn, gnu::cold]] void rule_broken(std::string_view what, std::string_view why,
                                         std::string_view instead) noexcept;

/// In a debug build: aborts if the caller holds the GIL in an operation that may wait for a thread
/// that wants the GIL.
///
/// `held` says whether it does: gil_held, or a replacement in code that does not know Python.
/// `held` says whether it does: gil_held, or what stands in for it where no Python is known.
template <class Held>
void assert_gil_released([[maybe_unused]] Held const& held,
                         [[maybe_unused]] std::string_view operation) noexcept {
#ifndef NDEBUG
    if (held()) {
        rule_broken(operation,
                    "it may wait for a thread that waits for the GIL, which the caller "
                    "holds: neither would go on",
                    "release the GIL first (gil_release while_waiting;), or bind the function with "
                    "without_gil()");
    }
#endif
}

/// In a debug build: aborts if the caller does not hold the GIL in an operation that touches a
/// Python object. `held` as above.
template <class Held>
void assert_gil_held([[maybe_unused]] Held const& held,
                     [[maybe_unused]] std::string_view operation) noexcept {
#ifndef NDEBUG
    if (!held()) {
        rule_broken(operation,
                    "it touches a Python object, or is there to do so, and the caller does not "
                    "hold the GIL: another thread may touch the same one",
                    "acquire the GIL first: gil_acquire gil; or, where Python may be ending, if "
                    "(gil_try_acquire gil; gil)");
    }
#endif
}

}  // namespace handoff::detail
