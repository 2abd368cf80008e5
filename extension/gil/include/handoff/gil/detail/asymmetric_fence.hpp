// asymmetric_fence: two threads that show each other something, one of which does so often.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <atomic>

namespace handoff::detail {

/// Overview
///   A thread writes one variable and then reads another; its peer does so the other way round. At
///   least one of them must see what the other wrote. For that each needs a fence between its two
///   steps, which costs what a locked instruction costs: 5 to 10 ns. Here who does it a million
///   times a second pays nothing, and who does it once has the kernel fence all threads.
///
///     often: the thread    store_shown(x, …);         reads y
///     once: the peer       writes y; fence_others();  reads x
///
/// Backends
///   Where the kernel has no membarrier(), each store_shown() is fenced.
///   Source: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED.
///
/// GIL:     any, unchanged, never waited for.
/// Threads: any.

/// Whether fence_others() fences for both. Visible, so that a host and its modules have one.
[[gnu::visibility("default")]] inline constinit std::atomic<bool> others_can_be_fenced = false;

/// Finds out whether it does. To be called before anybody relies on either; idempotent.
void prepare_to_fence_others() noexcept;

/// To call after the write and before the read, both sequentially consistent. In a process with
/// several threads the first call takes about 20 ms, where there were several already when
/// prepare_to_fence_others() was called; each other one takes microseconds.
void fence_others() noexcept;

/// Writes; what the thread reads afterwards, it reads after the write.
template <class T>
void store_shown(std::atomic<T>& shown, T value) noexcept {
    if (others_can_be_fenced.load(std::memory_order_relaxed)) [[likely]] {
        shown.store(value, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler's order
    } else {
        shown.store(value);
    }
}

}  // namespace handoff::detail
