// redirection: sends what Python writes to one of its streams to a function of the application.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

namespace handoff::redirection {

/// How many threads are in the application's functions. Python does not wait for them when it
/// ends: a daemon thread may be in one, without the GIL.
class calls {
public:
    void begin() noexcept;
    void end() noexcept;

    /// Waits until all have returned. Returns whether they have, by then. GIL: not held.
    [[nodiscard]] bool await_end(std::chrono::steady_clock::time_point deadline) const;

    /// In the child of a fork(), which has the calling thread alone.
    void forget_other_threads() noexcept;

private:
    std::atomic<unsigned> in_progress_ = 0;
};

/// Replaces sys.stdout or sys.stderr, and the one with underscores, by a text stream for that
/// function; does nothing if it is empty.
/// GIL:    held. Throws: boost::python::error_already_set.
void to(char const* stream, std::function<void(std::string_view)> const& function,
        std::shared_ptr<calls> const& counted);

}  // namespace handoff::redirection
