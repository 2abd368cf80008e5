// lock_graph: which lock was wanted while which other was held, and the cycles in this graph.
//
// Problem. Two threads deadlock when each wants what the other holds. A run in which they miss each
// other by a second shows the same two orders.
//
// Idea. A lock is a node. An edge from A to B says that a thread that held A wanted B, and would
// have waited. A cycle of edges, made by different threads, is a deadlock that another timing
// makes true. The GIL is a node among others.
//
// Limits. An edge keeps the locks that were held at each of its occurrences, its gates: two edges
// with a gate in common cannot be waited for at the same time. Order that is made by creating or
// joining threads, or by atomics, is not seen, so a cycle may be one that never happens.
//
// Source: Bensalem and Havelund, "Dynamic Deadlock Analysis of Multi-Threaded Programs" (the gates
//         and the threads of a cycle); Linux, Documentation/locking/lockdep-design.rst.
#pragma once

#include "mapped_array.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/types.h>

namespace handoff::detail {

/// Counts from 1; 0 is no lock.
using lock_number = std::uint32_t;
inline constexpr lock_number number_of_gil = 1;
/// That are watched at a time.
inline constexpr std::size_t most_locks = 1U << 18U;

/// A lock that was held as well: twice its number, plus one if it was held exclusively.
using lock_gate = std::uint32_t;

enum class lock_kind : std::uint8_t {
    none,
    gil,
    mutex,
    shared_mutex,
    spin_lock,
    once_flag,
    static_guard,
    semaphore,
    python_lock,
};

/// Return addresses, the innermost first.
template <std::size_t Most>
struct calls {
    std::array<void const*, Most> addresses{};
    std::uint32_t count = 0;
};
using whole_stack = calls<40>;
using short_stack = calls<10>;

/// A lock that a thread holds.
struct held_lock {
    lock_number lock = 0;
    std::uint32_t depth = 0;  // how often the thread has locked it
    bool is_shared = false;
    short_stack const* since = nullptr;  // where it was locked; null: unknown
};

/// A thread, at a moment.
struct acting_thread {
    std::uint32_t number = 0;  // never used again, as the others are
    pid_t id = 0;
    std::array<char, 16> name{};
};

/// Where a thread wanted a lock, or waited.
struct acting_place {
    acting_thread thread;
    whole_stack stack;
    std::array<char, 200> python{};  // as write_place() writes it; empty: none
};

/// A thread that holds one lock wants another. All from the first occurrence, unless it says so.
struct lock_edge {
    lock_number from = 0;
    lock_number to = 0;
    acting_place wanted;
    short_stack const* held_since = nullptr;
    std::array<lock_gate, 6> gates{};  // of all occurrences; 0: no more
    std::array<std::uint32_t, 2> threads{};  // the first two that did it; 0: no more
    bool held_exclusively = false;  // in any occurrence
    bool wanted_exclusively = false;  // in any occurrence
    bool predicted = false;  // it did not want the GIL, but called Python, which may release it
    // The graph's own: lists of edges, by index, and whether this is one.
    std::uint32_t next_out = 0, previous_out = 0, next_in = 0, previous_in = 0, next_in_bucket = 0;
};

/// A lock as a report describes it.
struct lock_seen {
    lock_number number = 0;
    lock_kind kind{};
    void const* object = nullptr;
};

/// Edges that end where the next begins, and the last where the first does.
struct lock_cycle {
    static constexpr std::size_t longest = 6;
    std::array<lock_edge, longest> edges;
    std::array<lock_seen, longest> locks;  // that each edge comes from
    std::size_t count = 0;
};

/// Threads: the caller makes all calls under one mutex. Allocates nothing after construction.
class lock_graph {
public:
    /// How many locks and edges it has room for. New ones replace the oldest.
    /// is_there: whether a lock still exists, as far as that is known. Dropping one that does not
    ///           loses nothing.
    lock_graph(
        std::size_t locks, std::size_t edges,
        bool (*is_there)(lock_seen const&) = [](lock_seen const&) { return true; });

    /// in_use: whether a thread holds or wants that lock, which is then kept.
    /// Returns: 0: all are in use.
    lock_number add(lock_kind kind, void const* object, bool (*in_use)(lock_number));
    /// The lock no longer exists. Does nothing if it has no number.
    void remove(lock_number lock);
    /// Its edges are not an order: threads that did not take it release it.
    void ignore(lock_number lock) noexcept { nodes_[lock].ignored = true; }
    /// It was released by the thread that took it.
    void is_paired(lock_number lock) noexcept { nodes_[lock].paired = true; }
    [[nodiscard]] bool is_ignored(lock_number lock) const noexcept { return nodes_[lock].ignored; }
    [[nodiscard]] bool is_paired_lock(lock_number lock) const noexcept {
        return nodes_[lock].paired;
    }

    [[nodiscard]] lock_seen seen(lock_number lock) const noexcept;
    /// Null: no thread has wanted the one while it held the other.
    [[nodiscard]] lock_edge const* edge(lock_number from, lock_number to) const noexcept {
        edge_index const found = find(from, to);
        return found == 0 ? nullptr : &edges_[found];
    }
    /// What each number stands for: null, nothing. Threads: any, without the mutex.
    [[nodiscard]] std::atomic<void const*> const* objects() const noexcept { return &objects_[0]; }

    struct want {
        std::uint32_t thread;
        lock_number lock;
        bool is_shared;
        bool predicted;
        std::span<held_lock const> held;
    };
    /// Whether it would make a new edge, for which a place is needed.
    [[nodiscard]] bool is_new(want const& wanted) const noexcept;
    /// Adds its edges. place: of the new ones; null: they are left out.
    /// Returns: whether there is a cycle with one of them, which is written to found.
    bool add(want const& wanted, acting_place const* place, lock_cycle& found);

    /// Whether something was given up for want of room; and searches, before their end.
    struct losses {
        bool locks = false;
        bool edges = false;
        bool searches = false;
    };
    [[nodiscard]] losses given_up() const noexcept { return given_up_; }
    /// Changes when edges were given up: what was reported to the graph must be reported again.
    /// Threads: any, without the mutex.
    [[nodiscard]] std::uint32_t epoch() const noexcept {
        return epoch_.load(std::memory_order_relaxed);
    }

private:
    using edge_index = std::uint32_t;
    struct node {
        lock_kind kind;
        bool ignored;
        bool paired;
        edge_index first_out, first_in;
        // Of a search: which one reached it last, by which edge, after how many.
        std::uint32_t reached_in, depth;
        edge_index reached_by;
    };
    static constexpr std::size_t most_reached = 4096;  // by a search, and twice as many edges

    [[nodiscard]] std::uint32_t& bucket(lock_number from, lock_number to) const noexcept;
    [[nodiscard]] edge_index find(lock_number from, lock_number to) const noexcept;
    edge_index make(lock_number from, lock_number to);
    void unlink(edge_index gone) noexcept;
    void give_up_edges();
    bool find_cycle_with(edge_index edge, lock_cycle& found) const;
    bool search(edge_index edge, std::array<edge_index, lock_cycle::longest>& path,
                std::size_t& length) const;
    [[nodiscard]] bool is_still_there(lock_number lock) const;
    [[nodiscard]] bool may_deadlock(std::span<edge_index const> path) const noexcept;

    bool (*is_there_)(lock_seen const&);
    mapped_array<node> nodes_;
    mapped_array<std::atomic<void const*>> objects_;
    mapped_array<lock_edge> edges_;
    mapped_array<edge_index> buckets_;
    mapped_array<lock_number> reached_{most_reached};
    mutable std::uint32_t searches_ = 0;
    lock_number used_nodes_ = number_of_gil + 1;
    lock_number next_node_to_give_up_ = number_of_gil + 1;
    edge_index used_edges_ = 1;
    edge_index free_edges_ = 0;
    edge_index next_edge_to_give_up_ = 1;
    mutable losses given_up_;
    std::atomic<std::uint32_t> epoch_ = 0;
};

}  // namespace handoff::detail
