// asymmetric_fence: two threads see each other's writes; the one that writes often pays nothing.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <atomic>

namespace handoff::detail {

/// Overview
///   A thread writes one variable and then reads another. A second thread does so in the other
///   order. At least one of them must see what the other wrote. For that each needs a fence between
///   its two steps, which costs as much as a locked instruction: 5 to 10 ns. Here the thread that
///   does this a million times a second pays nothing. The thread that does it once asks the kernel
///   to fence all threads.
///
///     often: the thread    store_shown(x, …);         reads y
///     once: the peer       writes y; fence_others();  reads x
///
/// Backends
///   If the kernel has no membarrier(), each store_shown() has a fence.
///   Source: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED.
///
/// GIL:     any, unchanged, never waited for.
/// Threads: any.

/// Whether fence_others() fences for both. Default visibility: a host and its modules share one.
[[gnu::visibility("default")]] inline constinit std::atomic<bool> others_can_be_fenced = false;

/// Finds out whether the kernel has it. Call it before any thread relies on either; idempotent.
void prepare_to_fence_others() noexcept;

/// Call it after the write and before the read, both sequentially consistent. In a process with
/// several threads the first call takes about 20 ms, if there were several already when
/// prepare_to_fence_others() was called. Each other call takes microseconds.
void fence_others() noexcept;

/// Writes. What the thread reads afterwards is read after the write.
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
