// scheduler: delivers what is due, on its own native threads. Does not know Python.
#pragma once

#include <boost/container/static_vector.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>

namespace handoff {

/// One clock, one ordered set of due times and a few threads serve every task.
///
/// Overview
///   A task has a due time, and a leeway by which it may be late. When half of the first leeway is
///   over, the leading thread enters a *turn* (for Foo: one hold of the GIL). In the turn it
///   delivers every task that is due by then, including those that fell due while it waited to
///   enter. Then it watches the clock again. So tasks that are due at about the same time share a
///   turn, and the other half of the leeway is there to deliver a million of them. If it had to
///   wait for a turn (for Foo: beside busy Python), it asks for the next one earlier by that time.
///
/// Threads
///   None before the first start(). One leads: it alone watches the clock. If a delivery takes
///   longer than `patience` (a callback that blocks), a standby takes the lead, so that the other
///   tasks continue; the late thread becomes a standby when it is back. At most `most_threads`.
///   They end when the scheduler is closed and every task idle.
///
/// Life of a task
///   From start() until it is idle again, its run owns a reference to it. So every other owner of
///   the task may drop it at any time. If it calls cut() before, no further delivery begins.
///
///     its run is   running()   start()              stop()                    cut()
///     idle         no          -> running           nothing to do             nothing to do
///     running      yes         task_running         -> idle; if due: stopping -> idle, or cut
///     stopping     no          again when drained   waits as well             -> idle, or cut
///     draining     no          again when drained   waits as well             -> idle, or cut
///     cut          no          again when it ends   waits as well             nothing to do
///
///   If a message was due when stop() was called, and its leeway over, it is still delivered. The
///   run is stopping until that begins, which a busy machine may delay, and then draining, for the
///   grace at most. What is due within its leeway is not delivered any more, except by close(). A
///   run is cut while its last delivery is in progress.
///
/// Locks
///   One mutex. It is not held while a thread waits for a turn or for another thread, while a task
///   delivers, unless that takes no time, or while a reference to a task is dropped. A delivering
///   thread takes it while it holds what its turn holds. Any thread may do so, for anything that
///   does not wait.
///
/// Threads: every member may be called from any thread, unless it says otherwise.
/// REQUIRES: a caller that passes a task to a member owns a reference to it until that returns, or
///           is its delivery: a run's own reference is dropped as soon as the run has ended.
class scheduler {
public:
    using clock = std::chrono::steady_clock;
    using time_point = clock::time_point;

    /// How long a delivery may take before another thread takes the lead.
    static constexpr std::chrono::milliseconds patience{5};
    /// How long one turn may last before it is left and entered again, so that other threads run.
    static constexpr std::chrono::milliseconds longest_turn{1};
    /// How long it then stays out. A thread that waits for the GIL is only notified that it is
    /// free, and needs this long to wake up and take it. Without a pause, the turn would always
    /// win.
    static constexpr std::chrono::microseconds pause{50};
    /// If a turn took longer than this to enter, the next one is requested earlier, ...
    static constexpr std::chrono::milliseconds shortest_wait{1};
    /// ... but by this much at most, as much as a busy Python makes others wait.
    static constexpr std::chrono::milliseconds longest_head_start{5};
    /// How long stop() waits until the delivery of due messages begins, ...
    static constexpr std::chrono::seconds longest_to_begin{1};
    /// ... and how long that lasts, before the rest is given up.
    static constexpr std::chrono::milliseconds stop_grace{100};
    /// The same for close(), because the end of the program may take longer.
    static constexpr std::chrono::seconds close_grace{2};
    static constexpr std::size_t most_threads = 16;

    class task;  // in task.hpp
    class turn;

    /// The surroundings of the scheduler's work: for Foo, an attachment to Python and a hold of the
    /// GIL. Each function is called with the work and must call it, once, on the same thread.
    struct surroundings {
        using work = std::function<void()>;
        /// May throw instead, which start() passes on.
        std::function<void(work const&)> thread = [](work const& body) { body(); };
        /// May return false instead: nothing can be delivered any more, and everything is given up.
        std::function<bool(work const&)> turn = [](work const& body) {
            body();
            return true;
        };
        /// Whether the calling thread holds what a turn waits for. Then start() and begin_stop()
        /// need no turn, and a debug build reports where waiting for one would be a deadlock.
        std::function<bool()> held_by_caller = [] { return false; };
    };

    class task_running : public std::logic_error {
        using logic_error::logic_error;
    };
    class scheduler_closed : public std::logic_error {
        using logic_error::logic_error;
    };

    explicit scheduler(surroundings around);
    /// Closes. REQUIRES: what close() requires.
    ~scheduler();

    scheduler(scheduler const&) = delete;
    scheduler& operator=(scheduler const&) = delete;

    /// Makes the first thread, unless closed. Idempotent.
    /// Throws: std::system_error or std::bad_alloc if no thread can be made; what the thread's
    ///         surroundings throw.
    /// REQUIRES: nothing is held that a turn waits for (for Foo: the GIL is released).
    void get_ready();
    [[nodiscard]] bool ready() const noexcept;

    /// Makes the task due now; does not wait if ready(). If the caller holds what a turn waits
    /// for, it delivers the first message itself, if that takes no time. While an earlier run of
    /// the task is draining, the new one begins when that has ended; if it is stopped before, it
    /// delivers nothing.
    /// Throws:   task_running; scheduler_closed; what get_ready() throws. The task is then
    ///           unchanged.
    /// REQUIRES: as get_ready(), unless ready().
    void start(task& started);

    /// Ends the task's run: when it returns, no delivery of that run follows or is in progress.
    /// Idempotent. Returns at once if nothing was due. Inside the task's own delivery it does not
    /// wait, and that delivery is the last. It also does not wait if that would close a ring of
    /// deliveries that stop each other.
    /// REQUIRES: as get_ready(); the caller owns a reference to the task, for as long as it takes.
    void stop(task& stopped) noexcept;

    /// stop() in two parts, for a caller that handles something else meanwhile. The first
    /// returns whether the run has ended, the second whether it ended within that time. The
    /// first does not wait. If its caller holds what a turn waits for, it delivers by itself what
    /// is due and takes no time. REQUIRES: the caller owns a reference.
    bool begin_stop(task& stopped) noexcept;
    bool await_stop(task& stopped, clock::duration at_most) noexcept;

    /// Ends the run without a wait: what is due is not delivered, and a delivery in progress is
    /// the last. If the caller holds what a turn waits for, no message begins after it.
    /// Idempotent.
    void cut(task& ended) noexcept;

    /// Whether the task was started, and neither stopped nor ended since.
    [[nodiscard]] bool running(task const& asked) const noexcept;

    /// Whether the calling thread is delivering this task.
    [[nodiscard]] bool delivering(task const& asked) const noexcept;

    /// Begins the end: start() throws from now on, and what is due is delivered for the last time.
    /// Idempotent.
    void begin_close() noexcept;

    /// Waits until every task is idle, after begin_close(). Returns whether they are. From a
    /// delivery, which cannot wait for itself: true at once.
    /// REQUIRES: as get_ready().
    bool await_close(clock::duration at_most) noexcept;

    /// A delivery that did not return to the scheduler, and its thread, which was abandoned.
    struct abandoned_delivery {
        boost::intrusive_ptr<task> of;  // null: the task was dropped, and is being destroyed
        std::thread::native_handle_type thread;
    };
    /// The result of the end.
    struct ending {
        std::size_t given_up = 0;  // tasks whose messages were due and were not delivered
        boost::container::static_vector<abandoned_delivery, most_threads> abandoned;
    };

    /// Ends every thread, after begin_close(); inside a delivery, none. What is still queued is
    /// given up. A thread that is still delivering is abandoned: its task becomes idle, and it ends
    /// when that delivery does. Idempotent.
    /// Returns:  what was lost, the first time.
    /// REQUIRES: as get_ready(); the scheduler is not destroyed while an abandoned thread lives.
    ending join() noexcept;

    /// All three, for as long as it takes: begin_close(), await_close(), join().
    ending close() noexcept;

    /// For pthread_atfork(). In the child every task is idle, and no thread exists until a start().
    void before_fork() noexcept;
    void after_fork_in_parent() noexcept;
    void after_fork_in_child();

private:
    struct worker;
    struct state;

    surroundings around_;
    std::unique_ptr<state> state_;
    std::unique_ptr<state> forks_child_;  // its state_; made early, as fork() cannot fail
};

}  // namespace handoff
