// gil_registration: a native thread works with Python for a while, and Python's end waits for it.
#pragma once

#include <handoff/gil/attachment.hpp>
#include <handoff/gil/gate.hpp>

#include <memory>
#include <stop_token>
#include <string_view>

namespace handoff {

/// Registers the calling native thread at the gate and attaches it to Python, for as long as the
/// registration lives. When Python is about to end, the thread is asked to stop. Until it has
/// unregistered, or the gate's grace is over, gil_try_acquire still admits it.
///
///     std::jthread sampler([&] {
///         handoff::gil_registration python("sampler");
///         while (!python.stop_requested()) {                  // true if it was refused
///             sample const taken = device.read();             // without the GIL
///             if (handoff::gil_try_acquire gil; gil) {
///                 consumer(taken);
///             }
///         }
///     });
///
/// To be woken from a wait by that request, wait with stop_token().
///
/// GIL:      not held on entry; the same on return. The destructor acquires it for a moment.
/// Threads:  made and destroyed by the same thread.
/// Throws:   std::bad_alloc if there is no memory for its thread state, or for Python 3.15's guard;
///           never because the gate is not open.
/// REQUIRES: as gil_try_acquire.
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_registration {
public:
    /// Not registered if Python has not started, is ending or has ended: see operator bool.
    /// A message about late threads at Python's end shows `name`. It must have static storage.
    [[nodiscard]] explicit gil_registration(char const* name) : passage_(name) {
        if (passage_.admitted()) {
            attached_ = std::make_unique<gil_attachment>();
        } else {
            passage_.explain_refusal();
        }
    }

    ~gil_registration() {
        made_.assert_still_here("gil_registration");
        // Too late to detach: the thread state stays, and Python clears it.
        bool const detached = passage_.unless_abandoned([this] { attached_.reset(); }, [] {});
        if (!detached) {
            static_cast<void>(attached_.release());
        }
    }

    gil_registration(gil_registration const&) = delete;
    gil_registration& operator=(gil_registration const&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return attached_ != nullptr; }

    /// Whether the gate is closing; also true if it did not register the thread.
    [[nodiscard]] bool stop_requested() const noexcept {
        return attached_ == nullptr || passage_.abandoned() || passage_.stop().stop_requested();
    }

    /// For std::stop_callback and std::condition_variable_any. It has no stop source if the thread
    /// is not registered.
    [[nodiscard]] std::stop_token stop_token() const noexcept { return passage_.stop(); }

private:
    detail::passage passage_;  // outlives the attachment
    std::unique_ptr<gil_attachment> attached_;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace handoff
