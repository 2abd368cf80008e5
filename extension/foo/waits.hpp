// waits: the waits for a count of messages, of all kinds, until it is reached or the run ends.
#pragma once

#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/python.hpp>

#include <boost/intrusive/set.hpp>

#include <atomic>
#include <memory>

namespace handoff {

/// The waits for one Foo. Enrolling, withdrawing and waking one take time that grows with the
/// logarithm of their number.
///
/// Concurrency
///   Guarded by a mutex that all Foos share: it is seldom locked, never for long, and never held
///   while the GIL or the scheduler's mutex is acquired. A run may end on a thread without the GIL.
///
/// GIL:     any, unchanged, unless a member says otherwise.
/// Threads: any.
class waits {
public:
    class waiter;

    waits() noexcept;
    ~waits();
    waits(waits const&) = delete;
    waits& operator=(waits const&) = delete;

    /// A run begins, and may be waited for.
    void begin() noexcept;

    /// This many have been delivered: waiters for no more than that are woken. GIL: held.
    void reach(Py_ssize_t count) noexcept {
        // A waiter enrols with the GIL, which is held here, so one that is not seen has not
        // enrolled; or, without a GIL, it looks at the count after it has enrolled.
        if (count >= least_.load(detail::order_of_attached)) {
            wake_up_to(count);
        }
    }

    /// The run has ended: all are woken.
    void end() noexcept;

    /// In the child of a fork(): the waiters belong to the parent's threads.
    void left_behind() noexcept;

private:
    struct by_count {
        bool operator()(waiter const& a, waiter const& b) const noexcept;
    };
    using hook = boost::intrusive::set_member_hook<
        boost::intrusive::link_mode<boost::intrusive::normal_link>>;
    struct enrolled;

    void wake_up_to(Py_ssize_t count) noexcept;
    void find_least() noexcept;
    void expect(Py_ssize_t least) noexcept { least_.store(least, detail::order_of_attached); }

    /// Greater than every count: the value of least_ if there is no waiter.
    static constexpr Py_ssize_t no_run = PY_SSIZE_T_MAX;
    static constexpr Py_ssize_t nobody_waits = no_run - 1;

    // There may be a million of these, and most are never waited for.
    std::unique_ptr<enrolled> enrolled_;
    std::atomic<Py_ssize_t> least_ = no_run;  // the least count that a waiter wants
};

/// Waits for a count.
class waits::waiter {
public:
    virtual ~waiter() = default;
    waiter(waiter const&) = delete;
    waiter& operator=(waiter const&) = delete;

protected:
    explicit waiter(Py_ssize_t count);

    /// Begins to wait; false: there is no run to wait for.
    /// GIL: held. Throws: std::bad_alloc.
    [[nodiscard]] bool enrol(waits& among);
    /// Called before what wake() uses is destroyed. Idempotent.
    void withdraw() noexcept;
    /// Whether a signal handler has forked, and this is the child: nothing will wake it.
    [[nodiscard]] bool left_behind() const noexcept;

    /// Called at most once; the mutex is held, and it is no longer enrolled.
    virtual void wake(bool reached) noexcept = 0;

private:
    friend class waits;

    hook hook_;
    waits* among_ = nullptr;  // while it is enrolled
    Py_ssize_t count_;
    unsigned forks_;
};

}  // namespace handoff
