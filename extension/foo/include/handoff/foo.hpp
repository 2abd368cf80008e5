// foo: the class behind Python's Foo.Foo, and the module's init function for a host to register.
#pragma once

#include <handoff/foo_module.hpp>
#include <handoff/gil/python.hpp>

#include <boost/python/list.hpp>
#include <boost/python/object.hpp>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace handoff {

class mailbox;
class ticker;

/// A worker that appends the next integer to a Python list once every interval, beside Python.
///
/// Another Boost.Python module takes and returns it as `foo&` or std::shared_ptr<foo>, once `Foo`
/// has been imported.
///
/// It may be dropped anywhere, at any time, also while it runs. Dropping waits for no message and
/// for no callback. If messages that are due must be delivered, call stop() first.
///
/// GIL:     any on entry, the same on return, unless a member says otherwise. Released wherever a
///          member waits.
/// Threads: any.
class [[gnu::visibility("default")]] foo {
public:
    using seconds = std::chrono::duration<double>;

    /// The longest interval, so that future times can be computed in nanoseconds: 146 years.
    static constexpr seconds longest_interval{4.6e9};

    /// on_message is called with each integer after it was appended; None: nothing is called.
    /// GIL:    held.
    /// Throws: std::invalid_argument for an interval that is not finite, not positive, shorter
    ///         than the clock's tick (1 ns) or longer than longest_interval; error_already_set
    ///         (TypeError) if on_message is neither callable nor None.
    explicit foo(seconds interval, boost::python::object const& on_message = {});

    /// Ends the run without a wait. No on_message begins after it. One in progress runs to its
    /// end, and keeps what it refers to alive. Messages that are due are not delivered.
    /// GIL: any, the same on return; acquired for a moment if Python is still running.
    ~foo();

    foo(foo const&) = delete;
    foo& operator=(foo const&) = delete;

    /// A message at once, and then one every interval: due = start + n * interval, no drift. A
    /// message may be late by a hundredth of the interval, at most 10 ms, to share a hold of the
    /// GIL with others that are due, and by one wait for the GIL. If nothing is called and the
    /// caller holds the GIL, the first message is delivered before it returns. The run keeps itself
    /// alive until it ends.
    /// Throws: std::runtime_error if it is running, if Python is shutting down, or if no thread
    ///         can be made; the Foo is unchanged.
    void start();

    /// Ends the run: when it returns, no message follows and no callback is in progress. Messages
    /// that are late by then are delivered first. That begins within 1 s, and then lasts 0.1 s at
    /// most. Inside on_message it does not wait.
    void stop() noexcept;

    /// Like stop(). If a signal handler raises, the caller stops waiting; the Foo ends
    /// after the callback in progress.
    /// GIL:    held on entry and on return, released while it waits.
    /// Throws: error_already_set: KeyboardInterrupt or what the handler raised.
    void stop_or_raise();

    [[nodiscard]] bool running() const noexcept;
    [[nodiscard]] seconds interval() const noexcept;

    /// The live list. GIL: held.
    [[nodiscard]] boost::python::list messages() const;

    /// The exception of on_message that ended the last run, or None. GIL: held.
    [[nodiscard]] boost::python::object error() const;

    /// Waits until `count` messages have been delivered, on_message included.
    /// Returns: whether they were; false at the timeout, or if the Foo is not running.
    /// GIL:     held on entry and on return.
    /// Throws:  error_already_set: KeyboardInterrupt or what a signal handler raised;
    ///          RuntimeError inside its own on_message, where it would wait for itself.
    bool wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout = {});

    /// Like wait(), but returns at once. The end of the wait is posted to the mailbox. Dropping the
    /// returned object gives up the wait. Python's `await foo.wait_async(count)` uses it.
    /// Returns: the wait's number in the mailbox, and the object that keeps it.
    /// GIL:     held.
    std::pair<std::uint64_t, std::shared_ptr<void>> post_when_delivered(
        Py_ssize_t count, std::shared_ptr<mailbox> to);

    /// For Python's garbage collector: visits the references, and drops them, which ends the run as
    /// the destructor does. GIL: held.
    int traverse(visitproc visit, void* argument) const;
    void clear();

private:
    boost::intrusive_ptr<ticker> ticker_;
};

}  // namespace handoff
