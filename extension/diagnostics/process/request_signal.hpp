// request_signal: with which signals a user may ask a tool for something.
#pragma once

#include <algorithm>
#include <array>
#include <csignal>

namespace handoff::detail {

/// Whether a handler that only notes the request and returns is right for this signal. The first
/// two cannot be handled; after the others a program runs into the same fault again.
[[nodiscard]] inline bool may_request(int signal) noexcept {
    static constexpr std::array unfit = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
                                         SIGFPE,  SIGILL,  SIGTRAP};
    return std::ranges::find(unfit, signal) == unfit.end();
}

}  // namespace handoff::detail
