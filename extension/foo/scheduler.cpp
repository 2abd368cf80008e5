// scheduler: who leads, who delivers, who waits for whom.
#include "scheduler.hpp"

#include <handoff/gil/detail/assertion.hpp>

#include <algorithm>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

namespace handoff {

/// One of the scheduler's threads, or room for one. Guarded by the mutex.
struct scheduler::worker {
    enum progress { vacant, entering, inside };

    std::thread thread;
    progress is = vacant;
    std::exception_ptr failure;         // why it could not enter its surroundings
    boost::intrusive_ptr<task> delivering;  // what it delivers now
    bool letting_go = false;            // of a task that its owner dropped meanwhile
    time_point delivering_since{};
    task* awaiting = nullptr;           // whose end it waits for, in a stop() made by a delivery
    bool abandoned = false;             // by join(): what it delivers is no longer ours
};

/// All that a fork leaves behind in the child: the threads, and what they may have locked.
struct scheduler::shared_state {
    handoff::mutex adding_first;  // held until the first thread is there; before the other
    handoff::mutex mutex;
    condition_variable leader_wakes;
    condition_variable standby_wakes;
    condition_variable run_ended;
    condition_variable worker_changed;

    boost::intrusive::avl_multiset<
        task, boost::intrusive::member_hook<task, decltype(task::hook_), &task::hook_>,
        boost::intrusive::compare<task::earlier>>
        queue;
    time_point latest{};         // no place in the queue is later
    std::deque<worker> workers;  // their addresses are stable
    worker* leader = nullptr;
    std::size_t dormant = 0;   // standbys that wait to be called
    std::size_t watching = 0;  // standbys that watch a delivery
    std::size_t awaiting = 0;  // stop()s that wait for a run to end
    std::size_t active = 0;    // tasks that are not idle
    std::size_t letting_go = 0;  // threads that do
    std::size_t given_up = 0;  // tasks whose drain did not end in time
    clock::duration head_start{};  // of the leader, who asks for a turn before it is due
    time_point give_up{};      // when closed: the end of the grace
    std::atomic<bool> has_thread = false;  // the first is inside its surroundings
    bool closed = false;       // no start() any more
    bool finishing = false;    // threads return
    bool left_behind = false;  // by a fork: this is the child's copy of its parent's state
};

namespace {

/// Which of a scheduler's threads the current thread is; null for any other.
thread_local void const* current_worker = nullptr;

/// The same, of this scheduler's threads.
template <class Workers>
auto* self_among(Workers& workers) noexcept {
    auto const self = std::find_if(workers.begin(), workers.end(),
                                   [](auto& each) { return &each == current_worker; });
    return self == workers.end() ? nullptr : &*self;
}

}  // namespace

scheduler::scheduler(surroundings around)
    : around_(std::move(around)), state_(std::make_unique<shared_state>()) {}

scheduler::~scheduler() { close(); }

bool scheduler::ready() const noexcept { return state_->has_thread; }

void scheduler::start(task& started) {
    if (!ready()) {
        get_ready();
    }
    shared_state& state = *state_;
    lock const held(state.mutex);
    if (state.closed) {
        throw scheduler_closed("the scheduler is closed");
    }
    if (started.running_) {
        throw task_running("the task is running");
    }
    started.running_ = true;
    if (started.active_) {
        started.begin_again_ = true;
        return;
    }
    begin_run(state, started);
    if (needs_turn(started)) {
        queue(state, started, started.due_, started.due_);
    } else {
        deliver_or_queue(state, started);
    }
}

void scheduler::stop(task& stopped) noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::stop()");
    if (!begin_stop(stopped)) {
        while (!await_stop(stopped, close_grace)) {
        }
    }
}

bool scheduler::begin_stop(task& stopped) noexcept {
    shared_state& state = *state_;
    lock const held(state.mutex);
    if (!stopped.active_) {
        return true;
    }
    time_point const now = clock::now();
    if (begin_drain(stopped, std::max(now - stopped.leeway(), stopped.begin_),
                    now + longest_to_begin)) {
        stopped.drain_begins_ = true;
    }
    worker const* const deliverer = deliverer_of(state, stopped);
    if (deliverer != nullptr && deliverer == current_worker) {
        stopped.cut_ = true;
        return true;
    }
    if (deliverer == nullptr && stopped.due_ > stopped.last_due_) {
        become_idle(state, stopped);
    } else if (deliverer == nullptr && !needs_turn(stopped)) {
        state.queue.erase(state.queue.iterator_to(stopped));
        deliver_or_queue(state, stopped);
    }
    return !stopped.active_;
}

bool scheduler::await_stop(task& stopped, clock::duration at_most) noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::await_stop()");
    shared_state& state = *state_;
    lock held(state.mutex);
    // Not draining: it has begun again already.
    return !stopped.active_ || !stopped.draining_ ||
           await_end(held, state, stopped, clock::now() + at_most);
}

void scheduler::end(task& ended) noexcept {
    lock const held(state_->mutex);
    begin_drain(ended, ended.begin_, ended.begin_);
    ended.cut_ = true;
}

bool scheduler::running(task const& asked) const noexcept {
    lock const held(state_->mutex);
    return asked.running_;
}

bool scheduler::delivering(task const& asked) const noexcept {
    lock const held(state_->mutex);
    worker const* const deliverer = deliverer_of(*state_, asked);
    return deliverer != nullptr && deliverer == current_worker;
}

/// The thread that delivers it now.
scheduler::worker* scheduler::deliverer_of(shared_state& state, task const& asked) noexcept {
    if (!asked.active_ || asked.hook_.is_linked()) {
        return nullptr;
    }
    auto const deliverer = std::ranges::find_if(state.workers, [&asked](worker const& each) {
        return each.delivering == &asked && !each.abandoned;
    });
    return deliverer != state.workers.end() ? &*deliverer : nullptr;
}

void scheduler::begin_close() noexcept {
    shared_state& state = *state_;
    lock const held(state.mutex);
    if (state.closed) {
        return;
    }
    state.closed = true;
    state.leader_wakes.notify_all();
    state.standby_wakes.notify_all();
    time_point const now = clock::now();
    state.give_up = now + close_grace;
    for (worker const& each : state.workers) {
        if (each.delivering != nullptr) {
            begin_drain(*each.delivering, now, state.give_up);
        }
    }
    for (auto next = state.queue.begin(); next != state.queue.end();) {
        task& queued = *next++;
        begin_drain(queued, now, state.give_up);
        if (queued.due_ > queued.last_due_) {
            become_idle(state, queued);
        }
    }
}

bool scheduler::await_close(clock::duration at_most) noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::await_close()");
    shared_state& state = *state_;
    lock held(state.mutex);
    auto const all_idle = [&] {
        return (state.active == 0 && state.letting_go == 0) ||
               self_among(state.workers) != nullptr;  // not itself
    };
    time_point const until = clock::now() + at_most;
    if (state.run_ended.wait_until(held, std::min(until, state.give_up), all_idle)) {
        return true;
    }
    // What is still queued at the end of the grace has no thread left that could deliver it.
    if (clock::now() >= state.give_up) {
        give_up_all(state);
    }
    return state.run_ended.wait_until(held, until, all_idle);
}

scheduler::ending scheduler::join() noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::join()");
    shared_state& state = *state_;
    ending report;
    boost::container::static_vector<std::thread, most_threads> finished;  // allocates nothing
    {
        lock const held(state.mutex);
        if (self_among(state.workers) != nullptr) {
            return report;
        }
        state.finishing = true;
        state.leader_wakes.notify_all();
        state.standby_wakes.notify_all();
        for (worker& each : state.workers) {
            if (!each.thread.joinable()) {
                continue;
            }
            if (each.delivering == nullptr && !each.letting_go) {
                finished.push_back(std::move(each.thread));
                continue;
            }
            report.abandoned.push_back(
                {.of = each.delivering, .thread = each.thread.native_handle()});
            each.abandoned = true;
            each.thread.detach();
            if (each.letting_go) {
                continue;
            }
            task& left = *each.delivering;
            left.running_ = false;
            left.begin_again_ = false;
            left.cut_ = true;
            become_idle(state, left);
        }
        report.given_up = std::exchange(state.given_up, 0);
    }
    for (std::thread& each : finished) {
        each.join();
    }
    return report;
}

scheduler::ending scheduler::close() noexcept {
    begin_close();
    while (!await_close(close_grace)) {
    }
    return join();
}

void scheduler::before_fork() noexcept { state_->mutex.lock(); }

void scheduler::after_fork_in_parent() noexcept { state_->mutex.unlock(); }

void scheduler::after_fork_in_child() {
    if (forks_child_ == nullptr) {
        state_->mutex.unlock();  // nothing was ever started
        return;
    }
    // The parent's threads do not exist here, yet its objects name them as owners and waiters:
    // none can be used or destroyed. A delivery that forked returns into its old state.
    shared_state& parents = *state_.release();
    state_ = std::move(forks_child_);
    state_->closed = parents.closed;
    parents.left_behind = true;
    parents.finishing = true;
    auto const forget = [](task& forgotten) {
        forgotten.running_ = false;
        forgotten.active_ = false;
        forgotten.begin_again_ = false;
        forgotten.cut_ = true;  // for the delivery that forked
        forgotten.left_behind();
    };
    for (worker const& each : parents.workers) {
        if (each.delivering != nullptr) {
            forget(*each.delivering);
        }
    }
    parents.queue.clear_and_dispose([&](task* queued) { forget(*queued); });
    parents.mutex.unlock();
}

/// Makes a thread, if there is room for one. It may yet become vacant, when it cannot enter its
/// surroundings.
scheduler::worker* scheduler::add_thread(shared_state& state) {
    auto const room = std::ranges::find(state.workers, worker::vacant, &worker::is);
    bool const is_new = room == state.workers.end();
    if (is_new && state.workers.size() == most_threads) {
        return nullptr;
    }
    worker& added = is_new ? state.workers.emplace_back() : *room;
    if (added.thread.joinable()) {
        added.thread.join();  // it failed, and has nothing left to do
    }
    added.thread = std::thread([this, &state, &added] { enter(state, added); });
    added.is = worker::entering;
    return &added;
}

/// What a thread does.
void scheduler::enter(shared_state& state, worker& self) {
    current_worker = &self;
    auto const change_to = [&](auto progress) {
        lock const held(state.mutex);
        self.is = progress;
        state.worker_changed.notify_all();
    };
    bool entered = false;
    try {
        around_.thread([&] {
            entered = true;
            change_to(worker::inside);
            work(state, self);
        });
    } catch (...) {
        if (entered) {
            throw;  // a defect: std::terminate says which
        }
        self.failure = std::current_exception();
        change_to(worker::vacant);
    }
}

/// Waits until the thread is inside its surroundings; without the mutex, which a fork() takes
/// while it holds what the thread may need to get there (in Python: the list of thread states).
void scheduler::get_ready() {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::get_ready()");
    shared_state& state = *state_;
    std::scoped_lock const one_at_a_time(state.adding_first);
    lock held(state.mutex);
    if (state.has_thread || state.closed) {
        return;
    }
    if (forks_child_ == nullptr) {
        forks_child_ = std::make_unique<shared_state>();
    }
    worker const& first = *add_thread(state);
    state.worker_changed.wait(held, [&] { return first.is != worker::entering; });
    if (first.is == worker::vacant) {
        std::rethrow_exception(first.failure);
    }
    state.has_thread = true;
}

void scheduler::work(shared_state& state, worker& self) {
    lock held(state.mutex);
    while (!state.finishing && (!state.closed || state.active > 0)) {
        if (state.leader == nullptr) {
            state.leader = &self;
        }
        if (state.leader != &self) {
            stand_by(held, state, self);
        } else if (state.queue.empty()) {
            state.leader_wakes.wait(held);
        } else if (time_point const until = state.queue.begin()->place_ - state.head_start;
                   until > clock::now()) {
            state.leader_wakes.wait_until(held, until);
        } else if (bool const at_once_again = take_turn(held, state, self); at_once_again) {
            held.unlock();
            std::this_thread::sleep_for(pause);
            held.lock();
        }
    }
}

/// Delivers what is due. Returns whether the next turn may be asked for at once: this one was over
/// before all was delivered, or others want what it held.
bool scheduler::take_turn(lock& held, shared_state& state, worker& self) {
    bool more_is_due = false;
    time_point const asked = clock::now();
    auto deliveries = [&] {
        held.lock();
        turn current;
        bool const too_early = state.queue.empty() || !current.covers(*state.queue.begin());
        state.head_start = too_early ? clock::duration(0) : head_start_after(current.now_ - asked);
        while (state.leader == &self && !state.queue.empty() &&
               current.covers(*state.queue.begin())) {
            deliver_first(held, state, self, current);
        }
        more_is_due = current.over();
        held.unlock();
    };
    held.unlock();
    bool const entered = around_.turn(std::ref(deliveries));  // by reference: nothing is allocated
    held.lock();
    if (!entered) {
        give_up_all(state);
    }
    return entered && (more_is_due || state.head_start > clock::duration(0));
}

/// A little less than the last turn was waited for; none where it was had at once.
scheduler::clock::duration scheduler::head_start_after(clock::duration waited) noexcept {
    return waited < shortest_wait ? clock::duration(0)
                                  : std::min<clock::duration>(waited * 7 / 8, longest_head_start);
}

/// Nothing is delivered any more, and nobody may wait for it.
void scheduler::give_up_all(shared_state& state) noexcept {
    state.closed = true;
    while (!state.queue.empty()) {
        ++state.given_up;
        task& queued = *state.queue.begin();
        queued.running_ = false;
        queued.begin_again_ = false;
        become_idle(state, queued);
    }
}

void scheduler::deliver_first(lock& held, shared_state& state, worker& self, turn& current) {
    task& due = *state.queue.begin();
    state.queue.erase(state.queue.begin());
    if (!deliver_at_once(state, due, current)) {
        deliver(held, state, self, due, current);
    }
}

/// Whether the caller can only leave it to a thread of ours.
bool scheduler::needs_turn(task const& due) const noexcept {
    return due.may_block() || !around_.held_by_caller();
}

/// Delivers it there and then. REQUIRES: it needs no turn; as deliver_at_once().
void scheduler::deliver_or_queue(shared_state& state, task& due) noexcept {
    turn own;
    if (!deliver_at_once(state, due, own)) {
        queue(state, due, due.due_, due.due_);
    }
}

/// REQUIRES: it is active, and not in the queue.
/// Returns whether it was delivered; it is then in the queue again, or idle.
bool scheduler::deliver_at_once(shared_state& state, task& due, turn& current) noexcept {
    current.turn_to(due);
    if (due.drain_begins_) {
        due.drain_begins_ = false;
        due.give_up_ = current.now_ + stop_grace;
    }
    bool const delivered = due.deliver_at_once(current);
    if (delivered) {
        put_back(state, due, current.next_due_, current);
    }
    return delivered;
}

/// Without the mutex, for as long as it takes.
void scheduler::deliver(lock& held, shared_state& state, worker& self, task& due, turn& current) {
    self.delivering = &due;
    self.delivering_since = current.now_;
    if (due.may_block() && !state.queue.empty()) {
        call_standby(state);
    }

    held.unlock();
    std::optional<time_point> const next_due = due.deliver(current);
    held.lock();

    current.in_time();
    boost::intrusive_ptr<task> kept = std::move(self.delivering);
    if (!state.left_behind && !self.abandoned) {
        if (next_due) {
            put_back(state, due, *next_due, current);
        } else {
            end_run(state, due);
        }
    }
    if (kept->use_count() == 1) {
        // Its owner let go of it during the delivery. What it holds may run any code as it goes,
        // for any time.
        hand_over_lead(state, self);
        self.letting_go = true;
        ++state.letting_go;
        held.unlock();
        kept.reset();
        held.lock();
        --state.letting_go;
        self.letting_go = false;
        state.run_ended.notify_all();
    }
}

/// After a delivery: back into the queue, or idle.
void scheduler::put_back(shared_state& state, task& due, time_point next_due,
                         turn const& current) noexcept {
    time_point const now = current.now_;
    bool const owed = !due.cut_ && (!due.draining_ || next_due <= due.last_due_);
    bool const in_time = !due.draining_ || now < due.give_up_;
    if (owed && in_time) {
        // One that is behind goes behind the others that are due; one that could not deliver
        // at all (its list is being sorted) is asked again a little later.
        time_point const earliest = current.delivered_any() ? now : now + longest_turn;
        queue(state, due, next_due, std::max(next_due, earliest));
        return;
    }
    if (owed && state.closed) {
        ++state.given_up;
    }
    end_run(state, due);
}

/// It ended by itself, or is drained.
void scheduler::end_run(shared_state& state, task& ended) noexcept {
    ended.running_ = ended.running_ && ended.begin_again_;
    become_idle(state, ended);
}

/// Waits to be called, then watches for as long as deliveries follow each other, and takes the
/// lead when one of them takes too long.
void scheduler::stand_by(lock& held, shared_state& state, worker& self) {
    worker const& leader = *state.leader;
    if (leader.delivering == nullptr || !leader.delivering->may_block()) {
        ++state.dormant;
        state.standby_wakes.wait(held);
        --state.dormant;
    } else if (time_point const late = leader.delivering_since + patience; clock::now() < late) {
        ++state.watching;
        state.standby_wakes.wait_until(held, late);
        --state.watching;
    } else {
        state.leader = &self;
    }
}

/// Has a standby watch the leader's delivery. Returns whether there is one; if none can be made,
/// the other tasks wait for that delivery.
bool scheduler::call_standby(shared_state& state) noexcept {
    if (state.dormant > 0) {
        state.standby_wakes.notify_one();
        return true;
    }
    if (state.watching > 0) {
        return true;
    }
    try {
        return add_thread(state) != nullptr;
    } catch (std::exception const&) {
        return false;
    }
}

/// The caller's thread is about to wait: another leads from now on. Returns whether there is one.
bool scheduler::hand_over_lead(shared_state& state, worker& self) noexcept {
    if (state.leader != &self) {
        return true;
    }
    if (state.finishing || !call_standby(state)) {
        return false;
    }
    state.leader = nullptr;
    state.standby_wakes.notify_one();
    return true;
}

void scheduler::begin_run(shared_state& state, task& begun) noexcept {
    time_point const now = clock::now();
    ++begun.run_;
    ++state.active;
    begun.active_ = true;
    begun.begin_again_ = false;
    begun.draining_ = false;
    begun.drain_begins_ = false;
    begun.cut_ = false;
    begun.begin_ = now;
    begun.due_ = now;
    begun.begun();
}

void scheduler::queue(shared_state& state, task& queued, time_point due,
                      time_point not_before) noexcept {
    queued.due_ = due;
    queued.held_back_ = not_before > due;
    bool const in_time = !queued.held_back_ && due != queued.begin_;
    // Half of its leeway waits for others, and the other half is there to deliver all of them.
    queued.place_ = not_before + (in_time ? queued.leeway() / 2 : clock::duration(0));
    insert(state, queued);
    if (&queued != &*state.queue.begin() || state.leader == nullptr) {
        return;
    }
    if (state.leader->delivering != nullptr && state.leader->delivering->may_block()) {
        call_standby(state);
    } else {
        state.leader_wakes.notify_one();
    }
}

/// Most belong at the end: then it takes no search.
void scheduler::insert(shared_state& state, task& queued) noexcept {
    if (state.queue.empty() || queued.place_ >= state.latest) {
        state.latest = queued.place_;
        state.queue.push_back(queued);
    } else {
        state.queue.insert(queued);
    }
}

/// Returns whether it was not draining before.
bool scheduler::begin_drain(task& drained, time_point last_due, time_point give_up) noexcept {
    drained.running_ = false;
    drained.begin_again_ = false;
    if (drained.draining_) {
        return false;
    }
    drained.draining_ = true;
    drained.last_due_ = last_due;
    drained.give_up_ = give_up;
    return true;
}

void scheduler::become_idle(shared_state& state, task& ended) noexcept {
    if (ended.hook_.is_linked()) {
        state.queue.erase(state.queue.iterator_to(ended));
    }
    ended.active_ = false;
    --state.active;
    if (ended.begin_again_) {
        begin_run(state, ended);
        queue(state, ended, ended.due_, ended.due_);
    } else {
        ended.ended();
    }
    if (state.awaiting > 0 || state.closed) {
        state.run_ended.notify_all();
    }
    if (state.closed && state.active == 0) {
        state.leader_wakes.notify_all();
        state.standby_wakes.notify_all();
    }
}

/// Where every thread waits, each within a delivery, for the end of another task, nobody is left to
/// deliver what was due of those in the queue. One of them is given up, and who waits for it goes
/// on.
void scheduler::let_one_go_on(shared_state& state) noexcept {
    bool const all_wait = std::ranges::all_of(state.workers, [](worker const& each) {
        return each.is == worker::vacant || each.abandoned || each.awaiting != nullptr;
    });
    auto const waits_for_a_queued_one = [&state](worker const& each) {
        return each.awaiting != nullptr && each.awaiting->active_ &&
               deliverer_of(state, *each.awaiting) == nullptr;
    };
    auto const first = std::ranges::find_if(state.workers, waits_for_a_queued_one);
    if (all_wait && first != state.workers.end()) {
        become_idle(state, *first->awaiting);
    }
}

/// Returns whether it has ended, or cannot be waited for.
bool scheduler::await_end(lock& held, shared_state& state, task& awaited,
                          time_point until) noexcept {
    worker* const self = self_among(state.workers);
    if (self != nullptr) {
        auto const delivers = [&](task const* each) {
            return each != nullptr ? deliverer_of(state, *each) : nullptr;
        };
        for (worker const* link = delivers(&awaited); link != nullptr;
             link = delivers(link->awaiting)) {
            if (link == self) {
                return true;  // a ring: that delivery waits, in the end, for the caller's
            }
        }
        if (!hand_over_lead(state, *self) && deliverer_of(state, awaited) == nullptr) {
            become_idle(state, awaited);  // nobody is left to deliver what was due
            return true;
        }
        self->awaiting = &awaited;
        let_one_go_on(state);
    }
    ++state.awaiting;
    std::uint32_t const run = awaited.run_;
    auto has_ended = [&] { return !awaited.active_ || awaited.run_ != run; };
    for (time_point now = clock::now(); !has_ended() && now < until; now = clock::now()) {
        if (deliverer_of(state, awaited) == nullptr && now >= awaited.give_up_) {
            become_idle(state, awaited);  // every thread is busy, and the grace is over
        } else {
            time_point const grace = std::max(awaited.give_up_, now + stop_grace);
            state.run_ended.wait_until(held, std::min(until, grace));
        }
    }
    --state.awaiting;
    if (self != nullptr) {
        self->awaiting = nullptr;
    }
    return has_ended();
}

}  // namespace handoff
