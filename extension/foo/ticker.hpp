// ticker: the task behind a Foo. Appends the next integer, and calls back.
#pragma once

#include "task.hpp"
#include "waits.hpp"
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/python.hpp>

#include <boost/python/list.hpp>
#include <boost/python/object.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace handoff {

/// Appends n = len(messages), then calls on_message(n), once every interval.
///
/// Concurrency
///   What Python sees (callback, error): guarded by the GIL, and without one by exclusion_. The
///   list guards itself, and the count of deliveries is an atomic.
///   The schedule (begin_, ticks_): guarded by the scheduler, which calls one member at a time.
class ticker final : public scheduler::task {
public:
    using seconds = std::chrono::duration<double>;

    /// GIL:      held.
    /// Throws:   boost::python::error_already_set: MemoryError.
    /// REQUIRES: interval > 0; on_message is callable or None.
    ticker(seconds interval, boost::python::object const& on_message);
    /// GIL: any; unchanged, and acquired for a moment if Python is still running.
    ~ticker() override;
    ticker(ticker const&) = delete;
    ticker& operator=(ticker const&) = delete;

    [[nodiscard]] seconds interval() const noexcept { return interval_; }
    [[nodiscard]] bool has_callback() const noexcept { return may_block(); }

    /// GIL: held.
    [[nodiscard]] boost::python::list messages() const;
    [[nodiscard]] boost::python::object error() const;

    /// Waits until `count` messages have been delivered, the last one's on_message included.
    /// Returns: whether they were; false at the timeout, or if the run ended before.
    /// GIL:     held on entry and on return, released while it waits.
    /// Throws:  boost::python::error_already_set: KeyboardInterrupt, or what a signal handler
    ///          raised; RuntimeError inside its own on_message; MemoryError.
    bool wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout);

    /// For a wait that other code performs. GIL: held.
    [[nodiscard]] bool has_delivered(Py_ssize_t count) const noexcept;
    /// Throws: boost::python::error_already_set (RuntimeError) inside its own on_message.
    void refuse_within_delivery(Py_ssize_t count) const;
    [[nodiscard]] waits& its_waits() noexcept { return waits_; }
    /// What was delivered after has_delivered() was asked, and before the wait was enrolled.
    void tell_waits() noexcept { waits_.reach(delivered_.load(detail::order_of_attached)); }

    /// "on_message(3) of Foo(interval=1.0, on_message=<function f at 0x...>)", for a delivery that
    /// is in progress. GIL: held.
    [[nodiscard]] boost::python::object delivery_in_progress() const;

    /// For Python's garbage collector: visits the references, and drops them. GIL: held.
    int traverse(visitproc visit, void* argument) const;
    void clear();

    /// After the collector has ended one run and the Foo is still in use, makes the collector able
    /// to end the next one. GIL: held. Throws: boost::python::error_already_set: MemoryError.
    void renew_callback();

    /// Whether messages have fallen due after the one in progress. GIL: held.
    [[nodiscard]] bool behind() const noexcept;

    void begun(scheduler::time_point now) noexcept override;
    delivered deliver(scheduler::turn& now) noexcept override;
    void ended() noexcept override;
    void left_behind() noexcept override;

private:
    [[nodiscard]] scheduler::time_point due_of(std::uint64_t tick) const noexcept;
    [[nodiscard]] unsigned due_together(scheduler::turn const& now) const noexcept;
    [[nodiscard]] delivered next() const noexcept;
    delivered deliver_at_once(scheduler::turn& now) noexcept;
    delivered deliver_due(scheduler::turn& now);
    bool deliver_next(scheduler::turn const& now);
    bool append_and_count(Py_ssize_t count) noexcept;
    void count(Py_ssize_t so_many) noexcept;
    [[nodiscard]] boost::python::object on_message() const;
    [[nodiscard]] PyObject* exchange_error(PyObject* owned) noexcept;
    void report_error();

    // In the order that wastes no room, because there may be a million.
    std::atomic<bool> fresh_ = false;  // the run has delivered nothing: error_ is the last one's
    [[no_unique_address]] mutable detail::gil_exclusion exclusion_;  // of callback_ and error_
    seconds interval_;
    scheduler::time_point begin_{};  // the run's
    std::uint64_t ticks_ = 0;        // the run's
    std::atomic<Py_ssize_t> delivered_ = 0;  // also the message that on_message is called with
    PyObject* messages_;  // owned, like the next two; dropped only while Python runs
    PyObject* callback_ = nullptr;  // null: nothing is called
    PyObject* error_ = nullptr;     // null: none
    waits waits_;
};

}  // namespace handoff
