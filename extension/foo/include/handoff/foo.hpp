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
/// It may be dropped anywhere, at any time, also while it runs: that waits for no message and for
/// no callback. To have what is owed delivered, stop() it first.
///
/// GIL:     any on entry, the same on return, unless a member says otherwise. Released wherever a
///          member waits.
/// Threads: any.
class [[gnu::visibility("default")]] foo {
public:
    using seconds = std::chrono::duration<double>;

    /// The longest interval, so that times to come can be reckoned in nanoseconds: 146 years.
    static constexpr seconds longest_interval{4.6e9};

    /// on_message is called with each integer after it was appended; None: nothing is called.
    /// GIL:    held.
    /// Throws: std::invalid_argument for an interval that is not finite, not positive, shorter
    ///         than the clock's tick (1 ns) or longer than longest_interval; error_already_set
    ///         (TypeError) when on_message is neither callable nor None.
    explicit foo(seconds interval, boost::python::object const& on_message = {});

    /// Ends the run without a wait. No on_message begins after it; one in progress goes on to its
    /// end, and what it refers to lives so long. Messages that are owed are not delivered.
    /// GIL: any, the same on return; acquired for a moment, where Python is still there.
    ~foo();

    foo(foo const&) = delete;
    foo& operator=(foo const&) = delete;

    /// A message at once, and then one every interval: due = start + n * interval, no drift. It
    /// may be late by a hundredth of the interval, at most 10 ms, to share a hold of the GIL
    /// with others that are due, and by one wait for the GIL. Where nothing is called and the
    /// caller holds the GIL, the first is there on return. The run keeps itself alive until it
    /// ends. Throws: std::runtime_error when running, when Python is shutting down, or when no
    /// thread
    ///         can be made; the Foo is as it was.
    void start();

    /// Ends the run: when it returns no message follows and no callback is in progress. What is
    /// late by then is delivered first: within 1 s that begins, and then goes on for at most 0.1 s.
    /// Within on_message it does not wait.
    void stop() noexcept;

    /// As stop(); but when the handler of a signal raises, the caller waits no longer: the Foo ends
    /// after the callback in progress.
    /// GIL:    held on entry and on return, released while it waits.
    /// Throws: error_already_set: KeyboardInterrupt or what the handler raised.
    void stop_or_raise();

    [[nodiscard]] bool running() const noexcept;
    [[nodiscard]] seconds interval() const noexcept;

    /// The live list. GIL: held.
    [[nodiscard]] boost::python::list messages() const;

    /// What on_message raised and thereby ended the last run, or None. GIL: held.
    [[nodiscard]] boost::python::object error() const;

    /// Waits until `count` messages have been delivered, on_message included.
    /// Returns: whether they were; false at the timeout, or when the Foo is not running.
    /// GIL:     held on entry and on return.
    /// Throws:  error_already_set: KeyboardInterrupt or what a signal's handler raised;
    ///          RuntimeError within its own on_message, where it would wait for itself.
    bool wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout = {});

    /// As wait(), but returns at once, a wait whose end is posted there; it is given up when it is
    /// dropped. What Python's `await foo.wait_async(count)` is made of.
    /// Returns: its number in the mailbox, and what keeps it.
    /// GIL:     held.
    std::pair<std::uint64_t, std::shared_ptr<void>> post_when_delivered(
        Py_ssize_t count, std::shared_ptr<mailbox> to);

    /// What Python's garbage collector asks of an object: its references, and to drop its own,
    /// which ends the run as the destructor does. GIL: held.
    int traverse(visitproc visit, void* argument) const;
    void clear();

private:
    boost::intrusive_ptr<ticker> ticker_;
};

}  // namespace handoff
