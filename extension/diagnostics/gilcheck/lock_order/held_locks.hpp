// held_locks: which locks each thread holds, and what it reports to the graph when it wants
// another.
//
// Overview. A thread keeps a list of what it holds. Its record is updated before it waits for a
// lock (wants), when it has one (has), and when it releases one (gives). What it wanted before,
// with the same set held, is in its own cache. Only a miss goes to the graph, under the graph's
// mutex.
//
// Nothing here allocates: a wrapper may be called by an allocator, or with CPython's own lock of
// the GIL held. A signal handler that interrupts one of these functions on the same thread is not
// seen: current() is null then.
#pragma once

#include "gil_events.hpp"
#include "lock_graph.hpp"
#include "mixed.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <pthread.h>
#include <span>
#include <utility>

namespace handoff::detail {

struct running_python;

/// How often a thread has taken the GIL, and where and when it did so first.
struct gil_takes {
    std::uint64_t count = 0;  // 0: unknown, or never
    whole_stack first;
    std::chrono::nanoseconds since_first{};
};

/// What was found, for a report.
struct lock_finding {
    enum class kind : std::uint8_t {
        cycle,  // of orders
        waits_with_gil,  // for a thread that takes the GIL
        joins_with_gil,  // the same, to its end
    };
    kind what{};
    lock_cycle cycle;  // of a cycle
    acting_place waits;  // otherwise: the thread that waits with the GIL
    acting_place other;  // the thread that woke it, and where; for a join: the joined thread
    gil_takes took_gil;  // of that thread
    bool happens = false;  // not a prediction: all of them wait now
};

/// What no longer fits, so that from now on not everything is found.
enum class lost_room : std::uint8_t {
    locks,
    orders,
    searches,  // which ended at their limit
    threads,
    held_locks,  // of one thread
    findings,
};
inline constexpr std::size_t kinds_of_lost_room = 6;

/// Called when something is found or lost. Neither may wait or allocate.
struct lock_listener {
    void (*finds)(lock_finding const& found);
    void (*loses)(lost_room what);  // often, perhaps
};

/// Threads that wait for each other: each for a lock that the next one holds, the last for one of
/// the first's.
struct stuck_threads {
    struct one {
        acting_thread thread;
        std::uint32_t changes = 0;  // how often it had got a lock by then
        lock_number wants = 0;

        friend bool operator==(one const& left, one const& right) noexcept {
            return left.thread.number == right.thread.number && left.changes == right.changes &&
                   left.wants == right.wants;
        }
    };
    std::array<one, lock_cycle::longest> threads;
    std::size_t count = 0;

    friend bool operator==(stuck_threads const&, stuck_threads const&) = default;
};

/// Finds such threads, except those that were found to be stuck before. If it finds the same
/// ones twice, none of them got a lock in between. Threads: any.
[[nodiscard]] bool find_stuck_threads(stuck_threads& found) noexcept;
/// Records that they are stuck, and describes them as a cycle that happens. Each thread's place
/// is where the graph has first seen such an order. Threads: any.
void note_stuck_threads(stuck_threads const& stuck, lock_finding& described) noexcept;

class thread_locks;

/// Whether no event tells that a thread attaches or detaches, as in a free-threaded Python. Then to
/// hold the GIL is to be attached, each use of a thread's list asks whether the thread is, and so
/// does each of its calls of Python. A thread that detaches and attaches again in between is not
/// seen to. Constant from the time on when watching has begun.
extern bool attachment_is_asked_for;

/// The calling thread's.
struct own_watch {
    thread_locks* locks = nullptr;  // null: it has none yet
    bool is_inside = false;  // this code, or fork()
};
[[gnu::tls_model("initial-exec"),
  gnu::visibility("hidden")]] extern constinit thread_local own_watch own;

/// As long as one lives, thread_locks::current() is null: what an allocator, or a signal's handler,
/// locks meanwhile is not looked at, and never waits for what this thread holds.
class within {
public:
    within() noexcept : before_(std::exchange(own.is_inside, true)) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    ~within() {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        own.is_inside = before_;
    }
    within(within const&) = delete;
    within& operator=(within const&) = delete;

private:
    bool before_;
};

/// A thread and what it holds. Made at its first lock, and used again when it has ended.
///
/// What is done for every lock is in this header, so that it is inlined into its callers.
class thread_locks {
public:
    /// The calling thread's; null: it is within one of these functions, or watching has not begun.
    [[nodiscard]] static thread_locks* current() noexcept;  // inline, below

    /// It is about to wait for the lock. is_shared: with other readers.
    void wants(lock_number lock, bool is_shared) noexcept {
        wanted_.store(lock, std::memory_order_relaxed);
        if (count_.load(std::memory_order_relaxed) != 0 && find_held(lock) == nullptr) {
            wants_beside_others(lock, is_shared);
        }
    }
    /// Like wants(), if it releases the GIL before it waits.
    void wants_without_gil(lock_number lock) noexcept;
    /// It has it now.
    void has(lock_number lock, bool is_shared, void const* return_address,
             void const* frame) noexcept {
        within const changing;
        wanted_.store(0, std::memory_order_relaxed);
        if (held_lock* const again = find_held(lock)) {
            ++again->depth;
        } else {
            has_first(lock, is_shared, return_address, frame);
        }
    }
    /// It does not wait for it any more, and has it not.
    void goes_without() noexcept { wanted_.store(0, std::memory_order_relaxed); }
    /// Whether it waits for something else first, before it waits for the lock that it wants.
    void waits_elsewhere(bool does) noexcept {
        waits_elsewhere_.store(does, std::memory_order_relaxed);
    }
    /// It does not hold it any more, or not as often. Returns: whether it held it.
    bool gives(lock_number lock) noexcept {
        within const changing;
        held_lock* const its = find_held(lock);
        if (its == nullptr) {
            return gives_uncounted();
        }
        if (--its->depth == 0) {
            remove(*its);
        }
        return true;
    }
    /// As gives(), however often it held it. Returns: how often.
    std::uint32_t gives_all(lock_number lock) noexcept;
    [[nodiscard]] bool holds(lock_number lock) const noexcept {
        return find_held(lock) != nullptr || wanted_.load(std::memory_order_relaxed) == lock;
    }

    [[nodiscard]] bool holds_gil() const noexcept { return has_gil_; }

    // What waits for another thread, and not for a lock.
    /// It waits, with the GIL held, until another thread signals the event; then: it continues.
    void begins_to_wait(void const* event) noexcept;
    void has_waited(void const* event) noexcept;
    /// It signals the event.
    static void signals(void const* event) noexcept;
    /// It waits, with the GIL held, for the end of a thread that sleeps, or has not ended within a
    /// moment; then: it continues.
    void begins_to_join(pthread_t other) noexcept;
    [[nodiscard]] bool joins_a_sleeper() const noexcept;
    void still_joins() noexcept;
    void has_joined() noexcept;

private:
    friend class lock_watch;
    friend struct thread_pool;
    [[gnu::cold]] static thread_locks* begin() noexcept;
    void wants_beside_others(lock_number lock, bool is_shared) noexcept;
    void has_first(lock_number lock, bool is_shared, void const* return_address,
                   void const* frame) noexcept;
    [[gnu::cold]] bool gives_uncounted() noexcept;
    void tell(lock_number lock, bool is_shared, bool predicted, bool without_gil = false) noexcept;
    [[gnu::cold, gnu::noinline]] void tell_anew(std::uint64_t key, lock_number lock, bool is_shared,
                                                bool predicted, bool without_gil) noexcept;
    void remove(held_lock& gone) noexcept {
        std::uint32_t const count = count_.load(std::memory_order_relaxed) - 1;
        set_ -= hash_of(gone.lock, gone.is_shared);
        if (held_lock* const last = &held_[count]; &gone != last) [[unlikely]] {
            std::copy(&gone + 1, last + 1, &gone);
        }
        count_.store(count, std::memory_order_relaxed);
        handoff_calls_go_on = has_gil_ && count == 1 && !attachment_is_asked_for;
    }
    static constexpr std::uint64_t hash_of(lock_number lock, bool is_shared) noexcept {
        return mixed(std::uint64_t{lock} << 1U | (is_shared ? 1U : 0U));
    }
    [[nodiscard]] acting_place here() const noexcept;
    void describe(lock_finding& found) const noexcept;
    [[nodiscard]] gil_takes takes_so_far() const noexcept;
    void takes_gil() noexcept;
    void waits_for_gil() noexcept;
    void drops_gil() noexcept;
    [[gnu::cold, gnu::noinline]] void ask_for_attachment() noexcept;
    void calls_python() noexcept;
    void add_held(lock_number lock, bool is_shared, short_stack const* since) noexcept;
    [[nodiscard]] lock_number waits_for() const noexcept;
    /// Null: it does not hold it. The last one taken is the first one looked at.
    [[nodiscard]] held_lock const* find_held(lock_number lock) const noexcept {
        for (std::uint32_t each = count_.load(std::memory_order_relaxed); each-- > 0;) {
            if (held_[each].lock == lock) {
                return &held_[each];
            }
        }
        return nullptr;
    }
    [[nodiscard]] held_lock* find_held(lock_number lock) noexcept {
        return const_cast<held_lock*>(std::as_const(*this).find_held(lock));
    }

    static constexpr std::size_t most_held = 48;

    std::array<held_lock, most_held> held_{};
    std::atomic<std::uint32_t> count_ = 0;
    std::uint32_t too_many_ = 0;
    std::uint64_t set_ = 0;  // a hash of what it holds
    std::atomic<lock_number> wanted_ = 0;
    std::atomic<bool> waits_elsewhere_ = false;
    std::atomic<std::uint32_t> changes_ = 0;  // how often it has got a lock
    bool has_gil_ = false;
    std::uint32_t number_ = 0;
    std::uint32_t epoch_ = 0;
    std::atomic<pid_t> id_ = 0;  // 0: of no thread
    std::atomic<pthread_t> handle_{};
    std::atomic<bool> took_gil_ = false;  // ever; what follows is constant then
    whole_stack first_take_;
    std::chrono::steady_clock::time_point first_taken_at_;
    std::atomic<std::uint64_t> takes_ = 0;
    std::atomic<bool> waits_for_gil_ = false;
    bool is_stuck_ = false;  // this and what follows: guarded by the graph's mutex
    bool joins_ = false;
    pthread_t joined_{};
    acting_place joins_at_;
    std::array<std::uint64_t, 512> told_{};
    struct site {
        std::uint64_t key;
        short_stack const* calls;
    };
    std::array<site, 256> sites_{};
    short_stack const* where(void const* return_address, void const* frame) noexcept;
    [[gnu::cold, gnu::noinline]] static void note_site(site& kept, std::uint64_t key,
                                                       void const* return_address) noexcept;
};

inline thread_locks* thread_locks::current() noexcept {
    if (own.is_inside) {
        return nullptr;
    }
    thread_locks* const its = own.locks == nullptr ? begin() : own.locks;
    if (attachment_is_asked_for && its != nullptr) [[unlikely]] {
        its->ask_for_attachment();
    }
    return its;
}

/// Begins to watch, once for as long as the process lives.
///
/// GIL:     held, and also on return; or Python is not initialized.
/// Threads: one at a time.
/// Throws:  std::bad_alloc; std::runtime_error: the events of this Python's GIL cannot be observed.
void watch_locks(running_python const& watched, lock_listener const& listener);

/// Whether it is in this code's own object, or what else is linked with it.
[[nodiscard]] bool is_of_this_tool(void const* address) noexcept;

/// Whether it is in the object that contains CPython.
[[nodiscard]] bool is_of_interpreter(void const* address) noexcept;

/// Writes where in Python the calling thread is, as write_place() does; empty: nowhere. GIL: held.
void write_own_python_place(std::span<char> to) noexcept;

/// Call it where a thread that holds the GIL, and a lock, calls a Python function.
void note_call_of_python() noexcept;

/// Call it where the calling thread may have attached or detached. Does nothing where that is seen.
void note_attachment() noexcept;

/// A new number. 0: there is none left.
[[nodiscard]] lock_number number_new_lock(lock_kind kind, void const* object) noexcept;
/// What each number stands for; null: nothing any more. Threads: any, after watching has begun.
extern std::atomic<void const*> const* objects_of_locks;
[[nodiscard]] inline void const* object_of_lock(lock_number lock) noexcept {
    return objects_of_locks[lock].load(std::memory_order_relaxed);
}
/// A lock has ended.
void forget_lock(lock_number lock) noexcept;
/// Something that is initialised once is initialised now. Returns whether it had a number.
void note_initialised(lock_number lock) noexcept;
[[nodiscard]] bool is_initialised(lock_number lock) noexcept;
/// Whether it was ever released by a thread that did not take it.
[[nodiscard]] bool is_ignored(lock_number lock) noexcept;
/// It was released, by the thread that took it or by another.
void note_given_back(lock_number lock, bool by_who_took_it) noexcept;

}  // namespace handoff::detail
