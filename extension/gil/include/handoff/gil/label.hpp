// gil_label: the name that a GIL timeline shows for this thread's holds of the GIL.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>
#include <handoff/gil/detail/one_thread.hpp>

#include <utility>

namespace handoff {

namespace detail {

/// One per process: extension modules and the library that records share it.
[[gnu::visibility("default")]] constinit inline thread_local char const* hold_label = nullptr;

}  // namespace detail

/// Labels the holds of the GIL that end while it lives and no Python function is being executed. A
/// timeline would otherwise call them "native code". Make it before the guard. It costs two stores
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
