// python_turns: a queue of handlers that are run with the GIL held, many in one hold. No Asio.
#pragma once

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
    std::size_t dropped = 0;  // handlers that were destroyed and not run
};

namespace detail {

/// A handler in the queue. Each of these destroys it.
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
    /// Null where there is none.
    [[nodiscard]] queued_handler* pop() noexcept;
    /// Adds what the other has, which is empty then.
    void take_all_of(handler_list& other) noexcept;
    /// Returns: whether it was there.
    bool remove(queued_handler const& removed) noexcept;

private:
    queued_handler* first_ = nullptr;
    queued_handler* last_ = nullptr;
};

/// The queue of one python_executor and its copies.
///
/// Overview
///   A handler goes into the queue, and a *turn* is scheduled with the inner executor. The thread
///   that runs the turn takes the GIL once, runs what is in the queue, also what came meanwhile,
///   and releases it.
///
/// Concurrency
///   While the queue is not empty, a turn is on its way: scheduled, or waiting for the GIL. At most
///   one is. So a turn whose handler waits with the GIL released does not hold up the others, if
///   another thread runs the context; and no more than one thread waits for the GIL.
///   A turn takes all that is queued at once. From then on it is guarded by the GIL, which the turn
///   has anyway: a turn that comes while a handler has released the GIL runs what is left of it.
///
/// Life cycle
///   A turn that is refused at the gate drops what is queued. So does one that is destroyed, as the
///   context is: no handler, which may own the executor, stays in the queue for ever. In the child
///   of a fork() the queue is empty; what the parent had in it is neither run nor destroyed there.
///
/// Locks
///   One mutex, for moments. It is not held while a handler is run or destroyed, while a turn is
///   scheduled, or while the GIL is waited for.
///
/// GIL:     any, unchanged, where a member does not say otherwise.
/// Threads: any.
class [[gnu::visibility("default")]] python_turns {
public:
    using clock = std::chrono::steady_clock;
    using error_function = std::function<void(std::exception_ptr)>;

    /// How long a turn may last before it is left, so that others get the GIL. A handler that takes
    /// longer is not interrupted, and where those before it were short, up to 15 others may follow
    /// before the clock is read again.
    static constexpr std::chrono::milliseconds longest_turn{1};
    /// How long the thread then stays out: another one is only told that the GIL is free, and needs
    /// about this long to wake up and take it.
    static constexpr std::chrono::microseconds pause{50};

    /// Opens the gate where nobody has, and the GIL is held.
    /// Throws: python_error: the gate cannot be opened.
    explicit python_turns(error_function on_error);

    python_turns(python_turns const&) = delete;
    python_turns& operator=(python_turns const&) = delete;

    /// Whether the calling thread is in a turn of this queue, and holds the GIL.
    [[nodiscard]] bool in_turn() const noexcept;

    /// Takes over a handler. Throws: what schedule() throws; the caller owns the handler then.
    void add(queued_handler& added);

    /// Takes one turn. REQUIRES: schedule() has asked for it. Throws: std::bad_alloc: there is no
    /// memory for a thread state; the queue is as it was.
    void take_turn();

    /// Instead of take_turn().
    void drop_turn() noexcept;

    /// Calls `handler`, and tells what it throws, or the Python error that it leaves. GIL: held.
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

protected:
    ~python_turns();

    /// Has take_turn() or drop_turn() called once, later.
    virtual void schedule() = 0;

private:
    struct turn;
    struct all;

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

    handler_list taken_;                // guarded by the GIL
    std::atomic<std::size_t> run_ = 0;  // changed by who holds the GIL

    python_turns* next_ = nullptr;  // of all that there are
    python_turns* previous_ = nullptr;
};

}  // namespace detail

}  // namespace handoff
