// lock_numbers: the number by which the graph knows a lock.
//
// A mutex and a reader-writer lock contain their number, in bytes that glibc does not use for their
// kind. That costs one load, and a lock that is made again at the same address has lost its number.
// Other locks have no such bytes, and are looked up by their address.
#pragma once

#include "lock_graph.hpp"

#include <pthread.h>
#include <semaphore.h>

namespace handoff::detail {

/// Whether this glibc does not use these bytes: tried with a lock of each kind. Call it first.
[[nodiscard]] bool locks_can_be_marked() noexcept;

/// A new one if it has none yet. 0: it is not watched (a robust mutex, one with a priority
/// protocol, or one that processes share); or no number is left. Threads: any.
[[nodiscard]] lock_number number_of(pthread_mutex_t* mutex) noexcept;
[[nodiscard]] lock_number number_of(pthread_rwlock_t* lock) noexcept;
[[nodiscard]] lock_number number_of(lock_kind kind, void const* lock) noexcept;

/// 0: it has none, for example because it was locked before the watch began. Threads: any.
[[nodiscard]] lock_number known_number_of(pthread_mutex_t* mutex) noexcept;
[[nodiscard]] lock_number known_number_of(pthread_rwlock_t* lock) noexcept;
[[nodiscard]] lock_number known_number_of(lock_kind kind, void const* lock) noexcept;

/// Whether it still contains its number. A lock that is made again, or whose memory is reused, has
/// lost it. True for a lock that contains none. Allocates nothing. Threads: any.
[[nodiscard]] bool has_its_mark(lock_seen const& lock) noexcept;

/// It is destroyed, or no longer in use.
void forget(pthread_mutex_t* mutex) noexcept;
void forget(pthread_rwlock_t* lock) noexcept;
void forget(lock_kind kind, void const* lock) noexcept;
/// If what was at this address was already initialised, the address now belongs to another.
void forget_if_initialised(lock_kind kind, void const* lock) noexcept;

}  // namespace handoff::detail
