// lock_numbers: which number the graph knows a lock by.
//
// A mutex and a reader-writer lock carry their number themselves, in bytes that glibc does not use
// for their kind: one load, and a lock that is made again at the same address has lost it. The
// other locks have no such bytes, and are looked up by their address.
#pragma once

#include "lock_graph.hpp"

#include <pthread.h>
#include <semaphore.h>

namespace handoff::detail {

/// Whether this glibc leaves these bytes alone: tried, with a lock of each kind. Before the others.
[[nodiscard]] bool locks_can_be_marked() noexcept;

/// A new one where it has none yet. 0: it is not watched, as a robust one, one with a priority, or
/// one that processes share is not; or there is no number left. Threads: any.
[[nodiscard]] lock_number number_of(pthread_mutex_t* mutex) noexcept;
[[nodiscard]] lock_number number_of(pthread_rwlock_t* lock) noexcept;
[[nodiscard]] lock_number number_of(lock_kind kind, void const* lock) noexcept;

/// 0: it has none, as one that was locked before the watch began. Threads: any.
[[nodiscard]] lock_number known_number_of(pthread_mutex_t* mutex) noexcept;
[[nodiscard]] lock_number known_number_of(pthread_rwlock_t* lock) noexcept;
[[nodiscard]] lock_number known_number_of(lock_kind kind, void const* lock) noexcept;

/// Whether it carries its number still: one that is made again, or whose memory is, has lost it.
/// Of a lock that carries none: true. Allocates nothing. Threads: any.
[[nodiscard]] bool has_its_mark(lock_seen const& lock) noexcept;

/// It is destroyed, or in use no more.
void forget(pthread_mutex_t* mutex) noexcept;
void forget(pthread_rwlock_t* lock) noexcept;
void forget(lock_kind kind, void const* lock) noexcept;
/// It is another's address now, if what was there was initialised once already.
void forget_if_initialised(lock_kind kind, void const* lock) noexcept;

}  // namespace handoff::detail
