// scheduler::state: the data that the scheduler's threads share, and all operations on it.
#pragma once

#include "task.hpp"
#include <handoff/gil/mutex.hpp>

#include <boost/intrusive/avl_set.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace handoff {

/// One of the scheduler's threads, or room for one. Guarded by the mutex.
struct scheduler::worker {
    enum progress : std::uint8_t { vacant, entering, inside };

    /// Whether it is in a delivery, or drops a reference to a task.
    [[nodiscard]] bool busy() const noexcept { return delivering != nullptr || releasing; }
    /// Whether the delivery may run other code, and so take any time.
    [[nodiscard]] bool may_take_long() const noexcept {
        return releasing || (delivering != nullptr && delivering->may_block());
    }

    std::thread thread;
    std::thread::id id;  // the thread's, while it is inside
    progress is = vacant;
    std::exception_ptr failure;             // why it could not enter its surroundings
    boost::intrusive_ptr<task> delivering;  // what it delivers now
    bool releasing = false;                 // it drops what may be the last reference to a task
    time_point busy_since{};
    task* awaiting = nullptr;  // whose end it waits for, in a stop() made by a delivery
    bool abandoned = false;    // by join(): the scheduler no longer waits for its delivery
};

/// Everything that a fork leaves behind in the child: the threads, and what they may have locked.
/// Members that take a lock are called with the mutex held, and release it meanwhile. Members that
/// take none are called with the mutex held, unless they say otherwise.
struct scheduler::state {
    using lock = std::unique_lock<handoff::mutex>;
    using ordered_tasks = boost::intrusive::avl_multiset<
        task, boost::intrusive::member_hook<task, decltype(task::hook_), &task::hook_>,
        boost::intrusive::compare<task::earlier>>;

    /// Holds the mutex. At its end, the references of runs that have ended meanwhile are dropped,
    /// without the mutex: that may run any code, and take any time.
    class exclusive {
    public:
        explicit exclusive(state& its) : its_(its), held_(its.mutex) {}
        ~exclusive() { its_.release_ended(held_); }
        exclusive(exclusive const&) = delete;
        exclusive& operator=(exclusive const&) = delete;

        [[nodiscard]] lock& get() noexcept { return held_; }

    private:
        state& its_;
        lock held_;
    };

    explicit state(surroundings const& its_surroundings) : around(its_surroundings) {}

    surroundings const& around;

    handoff::mutex adding_first;  // held until the first thread exists; taken before the other
    handoff::mutex mutex;
    condition_variable leader_wakes;
    condition_variable standby_wakes;
    condition_variable run_ended;
    condition_variable worker_changed;

    ordered_tasks queue;
    ordered_tasks ended;         // idle, but their run's reference is not dropped yet
    time_point latest{};         // no place in the queue is later
    std::deque<worker> workers;  // their addresses are stable
    worker* leader = nullptr;
    std::size_t dormant = 0;               // standbys that wait to be called
    std::size_t watching = 0;              // standbys that watch a delivery
    std::size_t awaiting = 0;              // stop()s that wait for a run to end
    std::size_t active = 0;                // runs whose reference has not been dropped
    std::size_t given_up = 0;              // tasks whose drain did not end in time
    clock::duration head_start{};  // of the leader, which asks for a turn before it is due
    time_point give_up{};  // when closed: the end of the grace
    std::atomic<bool> has_thread = false;  // the first is inside its surroundings
    bool closed = false;  // no start() any more
    bool finishing = false;  // threads return
    bool left_behind = false;  // by a fork: this is the child's copy of its parent's state

    // Threads: in threads.cpp.
    void add_first_thread();  // the mutex is not held, the other one is
    worker* add_thread();
    void enter(worker& self);  // the mutex is not held
    void work(worker& self);  // nor here
    bool take_turn(lock& held, worker& self);
    void stand_by(lock& held, worker& self);
    bool call_standby() noexcept;
    bool hand_over_lead(worker& self) noexcept;
    [[nodiscard]] worker* current_worker() noexcept;
    [[nodiscard]] worker* deliverer_of(task const& asked) noexcept;
    bool await_end(lock& held, task& awaited, time_point until) noexcept;
    void let_one_go_on() noexcept;

    // Runs: in runs.cpp.
    /// Which owners a task surely has when its run ends.
    enum class owners : bool { run, run_and_caller };
    void start(task& started);
    bool begin_stop(task& stopped) noexcept;
    void cut(task& unwanted) noexcept;
    void begin_run(task& begun) noexcept;
    void queue_up(task& queued, time_point due, clock::duration leeway,
                  time_point not_before) noexcept;
    void deliver_first(lock& held, worker& self, turn& current);
    void deliver(lock& held, worker& self, task& due, turn& current);
    [[nodiscard]] bool needs_turn(task const& due) const noexcept;
    void deliver_or_queue_up(task& due) noexcept;
    bool deliver_at_once(task& due, turn& current) noexcept;
    void conclude(task& delivered, task::delivered outcome, turn const& current) noexcept;
    static void begin_drain(task& drained, task::run as, time_point last_due,
                            time_point give_up) noexcept;
    void drain_all(time_point now) noexcept;
    void give_up_all() noexcept;
    void become_idle(task& over, owners its = owners::run) noexcept;
    void tell_if_closed() noexcept;
    void release_ended(lock& held) noexcept;
    void forget_all_of(state& parents) noexcept;
};

}  // namespace handoff
