// request_signal: by which signals a user may ask a tool for something.
#pragma once

#include <algorithm>
#include <array>
#include <csignal>

namespace handoff::detail {

/// Whether a handler that notes the request, and returns, does for this one. Nobody handles the
/// first two of these; after the others a program goes on to the same fault.
[[nodiscard]] inline bool may_request(int signal) noexcept {
    static constexpr std::array unfit = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
                                         SIGFPE,  SIGILL,  SIGTRAP};
    return std::ranges::find(unfit, signal) == unfit.end();
}

}  // namespace handoff::detail
