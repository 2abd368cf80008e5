// scheduler: delivers what is due, on native threads of its own. Knows no Python.
#pragma once

#include <handoff/gil/mutex.hpp>

#include <boost/container/static_vector.hpp>
#include <boost/intrusive/avl_set.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

namespace handoff {

/// One clock, one ordered set of due times and a few threads serve every task.
///
/// Overview
///   A task has a due time, and a leeway by which it may be late. When half of the first leeway is
///   over, the leading thread enters a *turn* (for Foo: one hold of the GIL), delivers in it every
///   task that is due by then, also those that fell due while it waited to enter, and goes back to
///   the clock. So tasks that are due at about the same time share a turn, and a million have the
///   other half to be delivered in. Where it had to wait for a turn (for Foo: beside busy Python),
///   it asks for the next one so much earlier.
///
/// Threads
///   None before the first start(). One leads: it alone watches the clock. When a delivery takes
///   longer than `patience` (a callback that blocks), a standby takes the lead, so that the other
///   tasks go on; the late thread becomes a standby when it is back. At most `most_threads`. They
///   end when the scheduler is closed and every task idle.
///
/// Life of a task
///
///     state        running()   start()              stop(), end()
///     idle         no          -> queued            nothing to do
///     queued       yes         task_running         -> idle; if due: -> draining
///     delivering   yes         task_running         -> draining
///     draining     no          again when drained   waits as well
///
///   To drain is to deliver what was owed when stop() was called, due and its leeway over. It is
///   given its time to begin, as a busy machine may keep us from that, and then at most the grace.
///   What is due within its leeway is not delivered any more, except by close().
///
/// Locks
///   One mutex: not held while a turn is waited for, while a thread is waited for, or while a task
///   delivers, unless that takes no time (task::deliver_at_once). A delivering thread takes it
///   while it holds what its turn holds; so may anyone else, for anything that does not wait.
///
/// Threads: every member may be called from any thread, unless it says otherwise.
class scheduler {
public:
    using clock = std::chrono::steady_clock;
    using time_point = clock::time_point;

    /// How long a delivery may take before another thread takes the lead.
    static constexpr std::chrono::milliseconds patience{5};
    /// How long one turn may last before it is left and entered again, so that others get in.
    static constexpr std::chrono::milliseconds longest_turn{1};
    /// How long it then stays out. Who waits for the GIL is only told that it is free, and needs
    /// this long to wake up and take it; entered again at once, a turn would always win.
    static constexpr std::chrono::microseconds pause{50};
    /// A turn that was waited for longer than this is asked for earlier the next time, ...
    static constexpr std::chrono::milliseconds shortest_wait{1};
    /// ... but by this much at most, as much as a busy Python makes others wait.
    static constexpr std::chrono::milliseconds longest_head_start{5};
    /// How long stop() waits until what was due begins to be delivered, ...
    static constexpr std::chrono::seconds longest_to_begin{1};
    /// ... and how long that goes on, before the rest is given up.
    static constexpr std::chrono::milliseconds stop_grace{100};
    /// The same for close(): leaving the program is not in a hurry.
    static constexpr std::chrono::seconds close_grace{2};
    static constexpr std::size_t most_threads = 16;

    class task;
    class turn;

    /// What surrounds our work: for Foo, an attachment to Python and a hold of the GIL. Each is
    /// called with the work and must call it, once, on the same thread.
    struct surroundings {
        using work = std::function<void()>;
        /// May throw instead, which start() passes on.
        std::function<void(work const&)> thread = [](work const& body) { body(); };
        /// May return false instead: nothing can be delivered any more, and all is given up.
        std::function<bool(work const&)> turn = [](work const& body) {
            body();
            return true;
        };
        /// Whether the calling thread holds what a turn waits for: then start() and begin_stop()
        /// need no turn, and a debug build says where to wait for one would be a deadlock.
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
    /// Throws: std::system_error or std::bad_alloc when no thread can be made; what the thread's
    ///         surroundings throw.
    /// REQUIRES: nothing is held that a turn waits for (for Foo: the GIL is released).
    void get_ready();
    [[nodiscard]] bool ready() const noexcept;

    /// Makes the task due now; waits for nothing when ready(). A caller who holds what a turn waits
    /// for delivers the first message there and then, if it takes no time. While an earlier run of
    /// it is draining, the new one begins when that has ended; stopped before then, it delivers
    /// nothing. Throws: task_running; scheduler_closed; what get_ready() throws. The task is then
    /// as it was. REQUIRES: as get_ready(), unless ready().
    void start(task& started);

    /// Ends the task's run: when it returns, no delivery of that run follows or is in progress.
    /// Idempotent. Returns at once when nothing was owed. From the task's own delivery it does not
    /// wait, and that delivery is the last; nor does it wait where that would close a ring of
    /// deliveries that stop each other.
    /// REQUIRES: as get_ready().
    void stop(task& stopped) noexcept;

    /// stop() in two parts, for a caller that looks for something else meanwhile: the first
    /// returns whether that is all, the second whether the run has ended within that time. The
    /// first waits for nothing, and a caller who holds what a turn waits for has it deliver, there
    /// and then, what is owed and takes no time.
    bool begin_stop(task& stopped) noexcept;
    bool await_stop(task& stopped, clock::duration at_most) noexcept;

    /// Ends the run from within the task's own delivery; that delivery is the last.
    void end(task& ended) noexcept;

    /// Whether the task was started, and neither stopped nor ended since.
    [[nodiscard]] bool running(task const& asked) const noexcept;

    /// Whether the calling thread is delivering this task.
    [[nodiscard]] bool delivering(task const& asked) const noexcept;

    /// Begins the end: start() throws from now on, and what is due is delivered for the last time.
    /// Idempotent.
    void begin_close() noexcept;

    /// Waits until every task is idle or destroyed, after begin_close(). Returns whether they are.
    /// From a delivery, which cannot wait for itself: true at once.
    /// REQUIRES: as get_ready().
    bool await_close(clock::duration at_most) noexcept;

    /// A delivery that did not end, and the thread that was left to it.
    struct abandoned_delivery {
        boost::intrusive_ptr<task> of;  // null: of one that was dropped, and is being destroyed
        std::thread::native_handle_type thread;
    };
    /// How the end was.
    struct ending {
        std::size_t given_up = 0;  // tasks whose messages were due and did not come in the grace
        boost::container::static_vector<abandoned_delivery, most_threads> abandoned;
    };

    /// Ends every thread, after begin_close(); from a delivery, none. One that is still delivering
    /// is abandoned: its task becomes idle, and it ends when that delivery does. Idempotent.
    /// Returns:  what was lost, the first time.
    /// REQUIRES: as get_ready(); the scheduler is not destroyed while an abandoned thread lives.
    ending join() noexcept;

    /// All of it, for as long as it takes: begin_close(), await_close(), join().
    ending close() noexcept;

    /// For pthread_atfork(). In the child every task is idle, and no thread exists until a start().
    void before_fork() noexcept;
    void after_fork_in_parent() noexcept;
    void after_fork_in_child();

private:
    struct worker;
    struct shared_state;
    using lock = std::unique_lock<mutex>;

    worker* add_thread(shared_state& state);
    void enter(shared_state& state, worker& self);
    void work(shared_state& state, worker& self);
    bool take_turn(lock& held, shared_state& state, worker& self);
    static clock::duration head_start_after(clock::duration waited) noexcept;
    void give_up_all(shared_state& state) noexcept;
    void deliver_first(lock& held, shared_state& state, worker& self, turn& current);
    [[nodiscard]] bool needs_turn(task const& due) const noexcept;
    void deliver_or_queue(shared_state& state, task& due) noexcept;
    bool deliver_at_once(shared_state& state, task& due, turn& current) noexcept;
    void deliver(lock& held, shared_state& state, worker& self, task& due, turn& current);
    void put_back(shared_state& state, task& due, time_point next_due,
                  turn const& current) noexcept;
    void end_run(shared_state& state, task& ended) noexcept;
    static worker* deliverer_of(shared_state& state, task const& asked) noexcept;
    static void stand_by(lock& held, shared_state& state, worker& self);
    bool call_standby(shared_state& state) noexcept;
    bool hand_over_lead(shared_state& state, worker& self) noexcept;
    void begin_run(shared_state& state, task& begun) noexcept;
    void queue(shared_state& state, task& queued, time_point due, time_point not_before) noexcept;
    static void insert(shared_state& state, task& queued) noexcept;
    static bool begin_drain(task& drained, time_point last_due, time_point give_up) noexcept;
    void become_idle(shared_state& state, task& ended) noexcept;
    void let_one_go_on(shared_state& state) noexcept;
    bool await_end(lock& held, shared_state& state, task& awaited, time_point until) noexcept;

    surroundings around_;
    std::unique_ptr<shared_state> state_;
    std::unique_ptr<shared_state> forks_child_;  // its state_; made early, as fork() cannot fail
};

/// Something to deliver again and again. Its owner keeps it alive until stop() has returned; a
/// delivery keeps it alive for itself. Made by new, and owned by boost::intrusive_ptr: there may be
/// millions, and each of its bytes counts.
class scheduler::task : public boost::intrusive_ref_counter<task> {
public:
    task() = default;
    virtual ~task() = default;
    task(task const&) = delete;
    task& operator=(task const&) = delete;

    /// Told when a run begins; its first message is due then, at begin().
    virtual void begun() noexcept = 0;

    /// Delivers one message, and another while `now.delivered_and_covers(its due time)`, or several
    /// as `now.room()` and `now.until()` allow.
    /// Returns: when the next one is due; nullopt when the run has ended.
    virtual std::optional<time_point> deliver(turn& now) noexcept = 0;

    /// The same, where no message takes more than a moment: it waits for nothing, runs no code of
    /// others, and asks the scheduler nothing, whose mutex is held.
    /// Returns: whether it did, and the turn knows when the next one is due; it must be by
    ///          deliver() otherwise, and the run goes on.
    virtual bool deliver_at_once(turn& /*now*/) noexcept { return false; }

    /// Told when a run has ended, and none follows it at once, on whatever thread ended it. Must
    /// not wait for anything.
    virtual void ended() noexcept = 0;

    /// Told instead, in the child of a fork(), where no other thread exists: a mutex of the
    /// task's may be locked, by a thread of the parent's, for ever.
    virtual void left_behind() noexcept = 0;

    /// How much later than due a message may come, so that it shares a turn with others; the
    /// first of a run comes at once.
    [[nodiscard]] virtual clock::duration leeway() const noexcept = 0;

    /// Whether a delivery may take long: then another thread stands by.
    [[nodiscard]] virtual bool may_block() const noexcept = 0;

protected:
    /// When the run began; for what delivers it.
    [[nodiscard]] time_point begin() const noexcept { return begin_; }

private:
    friend class scheduler;
    friend class turn;

    struct earlier {
        bool operator()(task const& a, task const& b) const noexcept { return a.place_ < b.place_; }
    };

    // Guarded by the scheduler's mutex; the atomics are also read by a turn, without it.
    std::uint32_t run_ = 0;  // counts the runs
    boost::intrusive::avl_set_member_hook<boost::intrusive::optimize_size<true>> hook_;
    time_point begin_{};     // of the run
    time_point due_{};       // of the next message
    time_point place_{};     // in the queue
    time_point last_due_{};  // draining: a message due later is not delivered
    time_point give_up_{};   // draining: the end of the grace
    bool running_ : 1 = false;
    bool active_ : 1 = false;        // queued, delivering or draining
    bool held_back_ : 1 = false;  // queued: behind, or could not deliver; not before its place
    bool begin_again_ : 1 = false;  // draining: start() was called
    bool drain_begins_ : 1 = false;  // draining for stop(): nothing was delivered yet
    std::atomic<bool> draining_ = false;
    std::atomic<bool> cut_ = false;  // draining, and nothing more is delivered
};

/// One stay inside, and how far a task may go in it.
class scheduler::turn {
public:
    /// Counts messages that were delivered. Returns whether the next one, due then, belongs to
    /// this turn as well: it was due when the task's delivery began, the turn has not lasted too
    /// long, and the task was not stopped from within.
    [[nodiscard]] bool delivered_and_covers(time_point next_due, unsigned delivered = 1) noexcept {
        delivered_ += delivered;
        next_due_ = next_due;
        return next_due <= until_ && !task_->cut_.load(std::memory_order_relaxed) &&
               (delivered_ < look_at_ || in_time());
    }

    /// What is due later belongs to another turn.
    [[nodiscard]] time_point until() const noexcept { return until_; }

    /// How many messages may be delivered before it is asked again, at least one.
    [[nodiscard]] unsigned room() const noexcept {
        return delivered_ < look_at_ ? look_at_ - delivered_ : 1;
    }

private:
    friend class scheduler;

    /// To read the clock costs about as much as to append: it is read once for so many at most.
    static constexpr unsigned longest_stride = 128;

    turn() noexcept : now_(clock::now()), leave_(now_ + longest_turn) {}

    /// Whether there is time for this one, and it is due.
    [[nodiscard]] bool covers(task const& first) noexcept {
        return (delivered_ < look_at_ || in_time()) && !over() &&
               (first.held_back_ ? first.place_ : first.due_) <= now_;
    }

    void turn_to(task& next) noexcept {
        task_ = &next;
        delivered_before_ = delivered_;
        if (next.may_block()) {
            now_ = clock::now();
            looked_at_ = delivered_;
            look_at_ = delivered_ + 1;
        }
        until_ = next.draining_ ? std::min(now_, next.last_due_) : now_;
    }

    [[nodiscard]] bool over() const noexcept { return now_ >= leave_; }
    [[nodiscard]] bool delivered_any() const noexcept { return delivered_ != delivered_before_; }

    /// Looks at the clock; and when to look again: well before the turn is over, at this pace.
    bool in_time() noexcept {
        time_point const before = std::exchange(now_, clock::now());
        auto const fit = (delivered_ - looked_at_) * (leave_ - now_) /
                         (4 * (now_ - before) + clock::duration(1));
        looked_at_ = delivered_;
        look_at_ =
            delivered_ + static_cast<unsigned>(std::clamp<clock::rep>(fit, 1, longest_stride));
        return !over();
    }

    time_point now_;  // when the clock was last looked at
    time_point leave_;
    unsigned delivered_ = 0;
    unsigned looked_at_ = 0;
    unsigned look_at_ = longest_stride;

    task* task_ = nullptr;
    time_point until_{};
    time_point next_due_{};
    unsigned delivered_before_ = 0;
};

}  // namespace handoff
