// lock_numbers: the number by which the graph knows a lock.
//
// A mutex and a reader-writer lock contain their number, in bytes that glibc does not use for their
// kind. That costs one load, and a lock that is made again at the same address has lost its number.
// Other locks have no such bytes, and are looked up by their address.
#pragma once

#include "held_locks.hpp"

#include <atomic>
#include <bit>
#include <cstdint>
#include <pthread.h>
#include <semaphore.h>

namespace handoff::detail {

// A mark is this and a number. Source: glibc's sysdeps/nptl/bits/struct_mutex.h, struct_rwlock.h:
// of a mutex, __list is used where it is robust only; of a reader-writer lock, __pad2 never.
inline constexpr std::uint64_t magic_of_marks = 0x48616E646F66'0000U << 8U;
inline constexpr std::uint64_t number_bits_of_marks = (1U << 24U) - 1;

/// A lock's bytes for a mark. Of a mutex they are a pointer, whatever they are read as.
template <class Bytes>
class mark_in {
    static_assert(sizeof(Bytes) == sizeof(std::uint64_t));

public:
    explicit mark_in(Bytes& bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint64_t load() const noexcept {
        return std::bit_cast<std::uint64_t>(bytes_.load(std::memory_order_relaxed));
    }
    void store(std::uint64_t mark) const noexcept {
        bytes_.store(std::bit_cast<Bytes>(mark), std::memory_order_relaxed);
    }
    bool replace(std::uint64_t expected, std::uint64_t mark) const noexcept {
        auto before = std::bit_cast<Bytes>(expected);
        return bytes_.compare_exchange_strong(before, std::bit_cast<Bytes>(mark));
    }

private:
    std::atomic_ref<Bytes> bytes_;
};

inline auto mark_of(pthread_mutex_t* mutex) noexcept {
    return mark_in(mutex->__data.__list.__next);
}
inline auto mark_of(pthread_rwlock_t* lock) noexcept { return mark_in(lock->__data.__pad2); }

/// What the mark says; 0: there is none.
template <class Lock>
[[nodiscard]] lock_number marked(Lock* lock) noexcept {
    std::uint64_t const mark = mark_of(lock).load();
    auto const number = static_cast<lock_number>(mark & number_bits_of_marks);
    return (mark & ~number_bits_of_marks) == magic_of_marks && number < most_locks &&
                   object_of_lock(number) == lock
               ? number
               : 0;
}

/// Whether this glibc leaves these bytes alone: tried, with a lock of each kind. Before the others.
[[nodiscard]] bool locks_can_be_marked() noexcept;

/// A new one where it has none yet. 0: it is not watched, as a robust one, one with a priority, or
/// one that processes share is not; or there is no number left. Threads: any.
[[nodiscard]] lock_number number_of(lock_kind kind, void const* lock) noexcept;
[[nodiscard, gnu::cold]] lock_number mark_anew(pthread_mutex_t* mutex) noexcept;
[[nodiscard, gnu::cold]] lock_number mark_anew(pthread_rwlock_t* lock) noexcept;
template <class Lock>
[[nodiscard]] lock_number number_of(Lock* lock) noexcept {
    lock_number const known = marked(lock);
    return known != 0 ? known : mark_anew(lock);
}

/// 0: it has none, as one that was locked before the watch began. Threads: any.
template <class Lock>
[[nodiscard]] lock_number known_number_of(Lock* lock) noexcept {
    return marked(lock);
}
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
