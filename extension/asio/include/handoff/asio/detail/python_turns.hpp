// python_turns: a queue of handlers that run with the GIL held, many in one hold. Without Asio.
#pragma once

#include <handoff/gil/detail/fork_tie.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/mutex.hpp>
#include <handoff/python_error.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <utility>

namespace handoff {

/// What a python_executor and its copies have done so far.
struct python_executor_counts {
    std::size_t turns = 0;    // holds of the GIL in which a handler was run
    std::size_t run = 0;      // handlers that were run from the queue
    std::size_t dropped = 0;  // handlers that were destroyed without a run
};

namespace detail {

/// A handler in the queue. run() and drop() both destroy it.
class queued_handler {
public:
    queued_handler(queued_handler const&) = delete;
    queued_handler& operator=(queued_handler const&) = delete;
    virtual ~queued_handler() = default;

    /// GIL: held. Throws: what the handler throws.
    virtual void run() = 0;
    /// GIL: any.
    virtual void drop() noexcept = 0;

protected:
    queued_handler() = default;

private:
    friend class handler_list;
    queued_handler* next_ = nullptr;
};

/// First in, first out. It owns nothing.
class handler_list {
public:
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    void push(queued_handler& added) noexcept;
    /// Null if there is none.
    [[nodiscard]] queued_handler* pop() noexcept;
    /// Adds what the other has, which is empty then.
    void take_all_of(handler_list& other) noexcept;
    /// Returns: whether it was in the list.
    bool remove(queued_handler const& removed) noexcept;

private:
    queued_handler* first_ = nullptr;
    queued_handler* last_ = nullptr;
};

/// The queue of one python_executor and its copies.
///
/// Overview
///   A handler enters the queue, and a *turn* is scheduled with the inner executor. The thread
///   that runs the turn takes the GIL once, runs what is in the queue, including handlers that
///   arrive meanwhile, and releases the GIL.
///
/// Concurrency
///   While the queue is not empty, one turn is pending: scheduled, or waiting for the GIL. There is
///   never more than one. So if a handler waits with the GIL released, it does not block the others
///   as long as another thread runs the context; and at most one thread waits for the GIL.
///   A turn takes everything that is queued at once. From then on the GIL guards it, which the turn
///   holds anyway: a turn that comes while a handler has released the GIL runs the rest.
///
/// Life cycle
///   A turn that the gate refuses drops what is queued. So does a turn that is destroyed, as it is
///   with the context. Otherwise a handler, which may own the executor, would stay in the queue
///   forever. In the child of a fork() the queue is empty; the parent's handlers are neither run
///   nor destroyed there.
///
/// Locks
///   One mutex, for moments. It is not held while a handler is run or destroyed, while a turn is
///   scheduled, or while a thread waits for the GIL.
///
/// GIL:     any, unchanged, unless a member says otherwise.
/// Threads: any.
class [[gnu::visibility("default")]] python_turns {
public:
    using clock = std::chrono::steady_clock;
    using error_function = std::function<void(std::exception_ptr)>;

    /// How long a turn may last before it ends so that other threads get the GIL. A handler that
    /// takes longer is not interrupted. After short handlers, up to 15 more may run before the
    /// clock is read again.
    static constexpr std::chrono::milliseconds longest_turn{1};
    /// How long the thread then stays out. Another thread is only notified that the GIL is free,
    /// and needs about this long to wake up and take it.
    static constexpr std::chrono::microseconds pause{50};

    /// Opens the gate if it is not open and the GIL is held.
    /// Throws: python_error: the gate cannot be opened.
    explicit python_turns(error_function on_error);

    python_turns(python_turns const&) = delete;
    python_turns& operator=(python_turns const&) = delete;

    /// Whether the calling thread is in a turn of this queue, and holds the GIL.
    [[nodiscard]] bool in_turn() const noexcept;

    /// Takes over a handler. Throws: what schedule() throws; the caller owns the handler then.
    void add(queued_handler& added);

    /// Takes one turn. REQUIRES: schedule() has requested it. Throws: std::bad_alloc: there is no
    /// memory for a thread state; the queue is unchanged.
    void take_turn();

    /// Instead of take_turn().
    void drop_turn() noexcept;

    /// Calls `handler`, and reports its exception, or the Python error that it leaves. GIL: held.
    template <class Handler>
    void run_here(Handler&& handler) noexcept {
        try {
            rather_hang([&] { std::forward<Handler>(handler)(); });
            if (PyErr_Occurred() != nullptr) [[unlikely]] {
                throw python_error::fetch();
            }
        } catch (...) {
            tell_of_exception();
        }
    }

    [[nodiscard]] python_executor_counts counts() const;

    /// For fork_tie.
    void begin_in_child();

protected:
    ~python_turns();

    /// Requests that take_turn() or drop_turn() is called once, later.
    virtual void schedule() = 0;

private:
    struct turn;

    bool run_ready_until(clock::time_point end);
    [[nodiscard]] queued_handler* take_next(bool turn_begins);
    [[nodiscard]] bool give_way();
    void refuse_turn() noexcept;
    void drop_queued() noexcept;
    void tell_of_exception() noexcept;

    error_function const on_error_;
    mutex mutable guard_;  // of these
    handler_list queue_;
    bool on_its_way_ = false;
    bool has_taken_ = false;   // a turn has taken what was queued, and has not run all of it
    bool is_refused_ = false;  // Python ends
    std::size_t turns_ = 0;
    std::size_t dropped_ = 0;
    handler_list of_parent_;  // in a fork()'s child

    handler_list taken_;  // guarded by the GIL; without one by guard_
    std::atomic<std::size_t> run_ = 0;

    fork_tie<python_turns> const tie_{*this, guard_};
};

}  // namespace detail

}  // namespace handoff
