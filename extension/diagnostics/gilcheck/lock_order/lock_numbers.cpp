// lock_numbers: marks in glibc's locks, and a table of the addresses of the others.
#include "lock_numbers.hpp"

#include "mapped_array.hpp"
#include "mixed.hpp"
#include "own_memory.hpp"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace handoff::detail {

namespace {

// Source: nptl/pthreadP.h: PTHREAD_MUTEX_ROBUST_NORMAL_NP, _PRIO_INHERIT_NP, _PRIO_PROTECT_NP and
// _PSHARED_BIT. The kind of a destroyed mutex is -1.
constexpr unsigned kinds_left_out = 16U | 32U | 64U | 128U;

bool is_watched(pthread_mutex_t const* mutex) noexcept {
    return (static_cast<unsigned>(mutex->__data.__kind) & kinds_left_out) == 0;
}

bool is_watched(pthread_rwlock_t const* lock) noexcept { return lock->__data.__shared == 0; }

template <class Lock>
lock_number number_new(Lock* lock, lock_kind kind) noexcept {
    if (!is_watched(lock)) {
        return 0;
    }
    std::uint64_t const before = mark_of(lock).load();
    lock_number const made = number_new_lock(kind, lock);
    if (made == 0 || mark_of(lock).replace(before, magic_of_marks | made)) {
        return made;
    }
    forget_lock(made);  // another thread was faster
    return marked(lock);
}

template <class Lock>
void forget_marked(Lock* lock) noexcept {
    if (lock_number const known = marked(lock); known != 0) {
        mark_of(lock).store(0);
        forget_lock(known);
    }
}

/// Addresses and their numbers. One that the graph gave up turns out to be another's, or unused.
struct addresses {
    struct entry {
        std::atomic<void const*> address;
        std::atomic<lock_number> number;
    };
    mapped_array<entry> entries{1U << 16U};
    std::mutex growing;

    static constexpr std::size_t most_probes = 32;

    [[nodiscard]] entry& at(void const* address, std::size_t probe) const noexcept {
        auto const hash = mixed(reinterpret_cast<std::uintptr_t>(address) >> 2U);
        return entries[(hash + probe) & (entries.size() - 1)];
    }

    [[nodiscard]] lock_number find(void const* address) const noexcept {
        for (std::size_t probe = 0; probe < most_probes; ++probe) {
            entry const& its = at(address, probe);
            if (its.address.load(std::memory_order_acquire) == address) {
                lock_number const number = its.number.load(std::memory_order_relaxed);
                return object_of_lock(number) == address ? number : 0;
            }
        }
        return 0;
    }

    void add(void const* address, lock_number number) const noexcept {
        entry* free = nullptr;
        for (std::size_t probe = 0; probe < most_probes; ++probe) {
            entry& its = at(address, probe);
            void const* const there = its.address.load(std::memory_order_relaxed);
            if (there == address) {
                free = &its;
                break;
            }
            if (free == nullptr && (there == nullptr || object_of_lock(its.number.load(
                                                            std::memory_order_relaxed)) != there)) {
                free = &its;
            }
        }
        if (free == nullptr) {  // all are in use: one gets a new number at its next lock
            free = &at(address, 0);
            forget_lock(free->number.load(std::memory_order_relaxed));
        }
        free->number.store(number, std::memory_order_relaxed);
        free->address.store(address, std::memory_order_release);
    }
};

addresses& known_addresses() {
    static auto& only = *new addresses();
    return only;
}

}  // namespace

bool locks_can_be_marked() noexcept {
    known_addresses();
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    auto const keeps_its_mark = [](auto* marked, auto const&... uses) {
        mark_of(marked).store(magic_of_marks);
        bool const all_work = ((uses(marked) == 0) && ...);
        return all_work && mark_of(marked).load() == magic_of_marks;
    };
    return keeps_its_mark(&mutex, &pthread_mutex_lock, &pthread_mutex_unlock,
                          &pthread_mutex_trylock, &pthread_mutex_unlock) &&
           keeps_its_mark(&lock, &pthread_rwlock_rdlock, &pthread_rwlock_unlock,
                          &pthread_rwlock_wrlock, &pthread_rwlock_unlock);
}

lock_number mark_anew(pthread_mutex_t* mutex) noexcept {
    return number_new(mutex, lock_kind::mutex);
}

lock_number mark_anew(pthread_rwlock_t* lock) noexcept {
    return number_new(lock, lock_kind::shared_mutex);
}

lock_number known_number_of(lock_kind /*kind*/, void const* lock) noexcept {
    return known_addresses().find(lock);
}

lock_number number_of(lock_kind kind, void const* lock) noexcept {
    addresses& known = known_addresses();
    lock_number number = known.find(lock);
    if (number == 0) {
        within const adding;
        std::scoped_lock const held(known.growing);
        number = known.find(lock);
        if (number == 0) {
            number = number_new_lock(kind, lock);
            if (number != 0) {
                known.add(lock, number);
            }
        }
    }
    return number;
}

bool has_its_mark(lock_seen const& lock) noexcept {
    std::size_t const offset =
        lock.kind == lock_kind::mutex          ? offsetof(pthread_mutex_t, __data.__list.__next)
        : lock.kind == lock_kind::shared_mutex ? offsetof(pthread_rwlock_t, __data.__pad2)
                                               : 0;
    if (offset == 0) {
        return true;
    }
    std::uint64_t mark = 0;
    return copy_memory(reinterpret_cast<std::uintptr_t>(lock.object) + offset, &mark,
                       sizeof mark) &&
           mark == (magic_of_marks | lock.number);
}

void forget(pthread_mutex_t* mutex) noexcept { forget_marked(mutex); }
void forget(pthread_rwlock_t* lock) noexcept { forget_marked(lock); }

void forget_if_initialised(lock_kind kind, void const* lock) noexcept {
    if (lock_number const known = known_number_of(kind, lock);
        known != 0 && is_initialised(known)) {
        forget_lock(known);
    }
}

void forget(lock_kind /*kind*/, void const* lock) noexcept {
    if (lock_number const known = known_addresses().find(lock); known != 0) {
        forget_lock(known);
    }
}

}  // namespace handoff::detail
