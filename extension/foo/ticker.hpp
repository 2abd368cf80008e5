// ticker: the task behind a Foo. Appends the next integer, calls back, wakes who waits for it.
#pragma once

#include "mailbox.hpp"
#include "scheduler.hpp"
#include <handoff/gil/python.hpp>

#include <boost/python/list.hpp>
#include <boost/python/object.hpp>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <optional>

namespace handoff {

/// Appends n = len(messages), then calls on_message(n), once every interval.
///
/// Concurrency
///   What Python sees (list, callback, error) and how much was delivered: guarded by the GIL.
///   The schedule (ticks_): by the scheduler, which calls one member at a time.
///   The waiters: by a mutex that all tickers share, as a run may end on a thread without the GIL.
///   It is never held while the GIL or the scheduler's mutex is acquired.
class ticker final : public scheduler::task {
public:
    using seconds = std::chrono::duration<double>;

    /// GIL:      held.
    /// Throws:   boost::python::error_already_set: MemoryError.
    /// REQUIRES: interval > 0; on_message is callable or None.
    ticker(seconds interval, boost::python::object const& on_message);
    /// GIL: any; unchanged.
    ~ticker() override;
    ticker(ticker const&) = delete;
    ticker& operator=(ticker const&) = delete;

    [[nodiscard]] seconds interval() const noexcept { return interval_; }

    /// GIL: held.
    [[nodiscard]] boost::python::list messages() const;
    [[nodiscard]] boost::python::object error() const;

    /// Waits until `count` messages have been delivered, the last one's on_message included.
    /// Returns: whether they were; false at the timeout, or when the run ended before.
    /// GIL:     held on entry and on return, released while it waits.
    /// Throws:  boost::python::error_already_set: KeyboardInterrupt, or what a signal's handler
    ///          raised; RuntimeError from within its own on_message; MemoryError.
    bool wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout);

    /// A wait() whose end is posted to a mailbox; it is given up when this is dropped.
    ///
    /// GIL:     held, by all members.
    class posted_wait;

    /// "on_message(3) of Foo(interval=1.0, on_message=<function f at 0x...>)", for a delivery that
    /// is in progress. GIL: held.
    [[nodiscard]] boost::python::object delivery_in_progress() const;

    /// What Python's garbage collector asks for: the references, and to drop them. GIL: held.
    int traverse(visitproc visit, void* argument) const;
    void clear();

    /// Whether messages have fallen due after the one in progress. GIL: held.
    [[nodiscard]] bool behind() const noexcept;

    void begun() noexcept override;
    std::optional<scheduler::time_point> deliver(scheduler::turn& now) noexcept override;
    bool deliver_at_once(scheduler::turn& now) noexcept override;
    void ended() noexcept override;
    void left_behind() noexcept override;
    [[nodiscard]] scheduler::clock::duration leeway() const noexcept override;
    [[nodiscard]] bool may_block() const noexcept override { return has_callback_; }

private:
    class waiter;
    class blocking_wait;

    [[nodiscard]] bool has_delivered(Py_ssize_t count) const noexcept;
    void refuse_within_delivery(Py_ssize_t count) const;
    [[nodiscard]] scheduler::time_point due_of(std::uint64_t tick) const noexcept;
    [[nodiscard]] unsigned due_together(scheduler::turn const& now) const noexcept;
    std::optional<scheduler::time_point> deliver_due(scheduler::turn& now);
    bool deliver_next();
    bool append_and_count(unsigned count) noexcept;
    void report_error();
    void wake_waiters() noexcept;
    void find_next_to_wake() noexcept;

    // In the order that wastes no room: there may be a million.
    bool const has_callback_;
    bool active_ = false;  // a run has begun and not ended; guarded as the waiters are
    std::atomic<bool> fresh_ = false;  // the run has delivered nothing: error_ is the last one's
    seconds interval_;
    std::uint64_t ticks_ = 0;  // of the run
    Py_ssize_t delivered_ = 0;  // also the message that on_message is called with
    PyObject* messages_;  // owned, as the next two; dropped only where Python can be touched
    PyObject* on_message_;
    PyObject* error_ = nullptr;  // null: none
    std::forward_list<waiter*> waiters_;
    std::atomic<Py_ssize_t> next_to_wake_ = PY_SSIZE_T_MAX;  // the least count that is waited for
};

/// Of whom waits for a count, until that is there or the run ends.
///
/// Threads: woken under the mutex, by any.
class ticker::waiter {
public:
    virtual ~waiter() = default;
    waiter(waiter const&) = delete;
    waiter& operator=(waiter const&) = delete;

    [[nodiscard]] Py_ssize_t count() const noexcept { return count_; }

    /// At most once; the caller holds the mutex, and registers it no more.
    virtual void wake(bool reached) noexcept = 0;

protected:
    waiter(ticker& awaited, Py_ssize_t count);

    /// Begins to wait; false: there is no run to wait for. GIL: held.
    [[nodiscard]] bool enrol();
    /// Before what wake() uses is gone.
    void withdraw() noexcept;
    /// Whether a signal's handler has forked, and this is the child: nobody will wake it.
    [[nodiscard]] bool left_behind() const noexcept;

private:
    ticker& awaited_;
    Py_ssize_t count_;
    unsigned forks_;
};

class ticker::posted_wait final : public waiter {
public:
    /// Throws: std::bad_alloc; boost::python::error_already_set, as wait().
    posted_wait(boost::intrusive_ptr<ticker> awaited, Py_ssize_t count,
                std::shared_ptr<mailbox> to);
    ~posted_wait() override;
    posted_wait(posted_wait const&) = delete;
    posted_wait& operator=(posted_wait const&) = delete;

    void wake(bool reached) noexcept override;

    /// What it is called in the mailbox.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

private:
    boost::intrusive_ptr<ticker> awaited_;
    std::shared_ptr<mailbox> to_;
    std::uint64_t number_ = 0;
};

}  // namespace handoff
