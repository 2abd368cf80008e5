// await_gil(): the only way in which Handoff's guards wait for the GIL.
#pragma once

#include <handoff/gil/detail/assertion.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/mutex.hpp>

namespace handoff::detail {

/// In a debug build: aborts when the caller, about to wait for the GIL, holds a handoff::mutex.
inline void assert_no_mutex_held() noexcept {
#ifndef NDEBUG
    if (mutexes_held > 0) {
        rule_broken("waiting for the GIL while it holds a handoff::mutex",
                    "who holds the GIL and waits for that mutex does not get it, nor this thread "
                    "the GIL: neither would go on",
                    "copy what you need under the mutex, unlock it, and acquire the GIL then");
    }
#endif
}

/// Calls `take`, which waits for the GIL and takes it.
///
/// GIL: not held on entry, held on return.
template <class Take>
void await_gil(Take take) noexcept {
    assert_no_mutex_held();
    rather_hang(take);
}

}  // namespace handoff::detail
