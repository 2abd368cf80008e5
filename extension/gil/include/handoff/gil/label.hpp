// gil_label: what a GIL timeline calls this thread's holds of the GIL.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>
#include <handoff/gil/detail/one_thread.hpp>

#include <utility>

namespace handoff {

namespace detail {

/// One for the process: extension modules and the library that records share it.
[[gnu::visibility("default")]] constinit inline thread_local char const* hold_label = nullptr;

}  // namespace detail

/// Names the holds of the GIL that end while it lives, where no Python function is being executed:
/// a timeline would call them "native code". So it is made before the guard, and costs two stores
/// of a pointer.
///
///     handoff::gil_label const label("read sensor");
///     handoff::gil_acquire const gil;
///
/// GIL:      any, unchanged.
/// Threads:  any.
/// REQUIRES: the text lives as long as the process; destroyed by the thread that made it, in
///           reverse order of construction.
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_label {
public:
    [[nodiscard]] explicit gil_label(char const* text) noexcept
        : before_(std::exchange(detail::hold_label, text)) {}
    ~gil_label() {
        made_.assert_still_here("gil_label");
        detail::hold_label = before_;
    }

    gil_label(gil_label const&) = delete;
    gil_label& operator=(gil_label const&) = delete;

private:
    char const* before_;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace handoff
