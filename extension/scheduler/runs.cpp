// scheduler::state, runs: how one begins, is delivered, drained or cut, and what remains of it.
#include "state.hpp"

#include <algorithm>
#include <utility>

namespace handoff {

void scheduler::state::start(task& started) {
    if (closed) {
        throw scheduler_closed("the scheduler is closed");
    }
    if (started.run_ == task::run::running || started.begin_again_) {
        throw task_running("the task is running");
    }
    if (started.run_ != task::run::idle) {
        started.begin_again_ = true;
        return;
    }
    if (started.hook_.is_linked()) {
        ended.erase(ended.iterator_to(started));  // this run takes over the last run's reference
    } else {
        intrusive_ptr_add_ref(&started);
        ++active;
    }
    begin_run(started);
    if (needs_turn(started)) {
        queue_up(started, started.due_, {}, started.due_);
    } else {
        deliver_or_queue_up(started);
    }
}

void scheduler::state::begin_run(task& begun) noexcept {
    begun.count_.store(begun.count_ + 1, std::memory_order_relaxed);
    begun.become(task::run::running);
    begun.begin_again_ = false;
    begun.due_ = clock::now();
    begun.place_ = begun.due_;
    begun.held_back_ = false;
    begun.begun(begun.due_);
}

bool scheduler::state::begin_stop(task& stopped) noexcept {
    if (stopped.run_ == task::run::idle) {
        return true;
    }
    time_point const now = clock::now();
    begin_drain(stopped, task::run::stopping, now - stopped.leeway(), now + longest_to_begin);
    if (stopped.hook_.is_linked()) {
        if (stopped.due_ > stopped.last_due_) {
            become_idle(stopped, owners::run_and_caller);
        } else if (!needs_turn(stopped)) {
            queue.erase(queue.iterator_to(stopped));
            deliver_or_queue_up(stopped);
        }
    } else if (worker const* const deliverer = deliverer_of(stopped);
               deliverer != nullptr && deliverer == current_worker()) {
        stopped.become(task::run::cut);
        return true;
    }
    return stopped.run_ == task::run::idle;
}

void scheduler::state::cut(task& unwanted) noexcept {
    unwanted.begin_again_ = false;
    if (unwanted.run_ == task::run::idle) {
        return;
    }
    if (unwanted.hook_.is_linked()) {
        become_idle(unwanted);
    } else {
        unwanted.become(task::run::cut);
    }
}

/// Puts its run into that state, if it is running.
void scheduler::state::begin_drain(task& drained, task::run as, time_point last_due,
                                   time_point give_up) noexcept {
    drained.begin_again_ = false;
    if (drained.run_ == task::run::running) {
        drained.become(as);
        drained.last_due_ = last_due;
        drained.give_up_ = give_up;
    }
}

/// At the end of everything: what is due now is delivered, within the grace.
void scheduler::state::drain_all(time_point now) noexcept {
    give_up = now + close_grace;
    for (worker const& each : workers) {
        if (each.delivering != nullptr) {
            begin_drain(*each.delivering, task::run::draining, now, give_up);
        }
    }
    for (auto next = queue.begin(); next != queue.end();) {
        task& queued = *next++;
        begin_drain(queued, task::run::draining, now, give_up);
        if (queued.due_ > queued.last_due_) {
            become_idle(queued);
        }
    }
}

/// Nothing is delivered any more, and no thread may wait for it.
void scheduler::state::give_up_all() noexcept {
    closed = true;
    while (!queue.empty()) {
        ++given_up;
        task& queued = *queue.begin();
        queued.begin_again_ = false;
        become_idle(queued);
    }
}

/// Most tasks belong at the end of the queue, which needs no search.
void scheduler::state::queue_up(task& queued, time_point due, clock::duration leeway,
                                time_point not_before) noexcept {
    queued.due_ = due;
    queued.held_back_ = not_before > due;
    queued.place_ = not_before + (queued.held_back_ ? clock::duration(0) : leeway / 2);
    if (queue.empty() || queued.place_ >= latest) {
        latest = queued.place_;
        queue.push_back(queued);
    } else {
        queue.insert(queued);
    }
    if (&queued != &*queue.begin() || leader == nullptr) {
        return;
    }
    if (leader->may_take_long()) {
        call_standby();
    } else {
        leader_wakes.notify_one();
    }
}

/// Whether only one of the scheduler's threads can deliver it.
bool scheduler::state::needs_turn(task const& due) const noexcept {
    return due.may_block() || !around.held_by_caller();
}

/// Delivers it at once, or queues it. REQUIRES: it needs no turn; it is active, not in the queue.
void scheduler::state::deliver_or_queue_up(task& due) noexcept {
    turn own;
    if (!deliver_at_once(due, own)) {
        queue_up(due, due.due_, due.leeway(), due.due_);
    }
}

/// Returns whether it was delivered, if necessary without the mutex; it is then in the queue again,
/// or idle. REQUIRES: it is active, and not in the queue.
bool scheduler::state::deliver_at_once(task& due, turn& current) noexcept {
    current.turn_to(due);
    if (due.run_ == task::run::stopping) {
        due.become(task::run::draining);
        due.give_up_ = current.now_ + stop_grace;
    }
    if (due.may_block()) {
        return false;
    }
    auto const outcome = due.deliver(current);
    if (outcome.is == task::delivered::not_at_once) {
        return false;
    }
    conclude(due, outcome, current);
    return true;
}

void scheduler::state::deliver_first(lock& held, worker& self, turn& current) {
    task& due = *queue.begin();
    queue.erase(queue.begin());
    if (!deliver_at_once(due, current)) {
        deliver(held, self, due, current);
    }
    release_ended(held);
}

/// Without the mutex, for as long as it takes.
void scheduler::state::deliver(lock& held, worker& self, task& due, turn& current) {
    self.delivering = &due;
    self.busy_since = current.now_;
    if (due.may_block() && !queue.empty()) {
        call_standby();
    }
    current.at_once_ = false;

    held.unlock();
    auto const outcome = due.deliver(current);
    held.lock();

    current.in_time();
    boost::intrusive_ptr<task> kept = std::move(self.delivering);
    if (!left_behind && !self.abandoned) {
        conclude(due, outcome, current);
        return;  // its run, or what is left of that, owns a reference as well
    }
    // Destroying it may run any code, and take any time.
    held.unlock();
    kept.reset();
    held.lock();
}

/// After a delivery: back into the queue, or idle.
void scheduler::state::conclude(task& delivered, task::delivered outcome,
                                turn const& current) noexcept {
    if (outcome.is == task::delivered::due_again) {
        task::run const is = delivered.run_;
        bool const is_running = is == task::run::running;
        bool const owed =
            is_running || (is != task::run::cut && outcome.next_due <= delivered.last_due_);
        if (owed && (is_running || current.now_ < delivered.give_up_)) {
            // A task that is behind is queued after the others that are due; a task that could not
            // deliver at all (its list is being sorted) is tried again a little later.
            time_point const earliest =
                current.delivered_any() ? current.now_ : current.now_ + longest_turn;
            queue_up(delivered, outcome.next_due, outcome.leeway,
                     std::max(outcome.next_due, earliest));
            return;
        }
        if (owed && closed) {
            ++given_up;
        }
    }
    become_idle(delivered);
}

/// The run is over. It begins again at once if that was requested meanwhile. Its reference is
/// dropped here only if it cannot be the last.
void scheduler::state::become_idle(task& over, owners its) noexcept {
    if (over.hook_.is_linked()) {
        queue.erase(queue.iterator_to(over));
    }
    if (over.begin_again_) {
        begin_run(over);
        queue_up(over, over.due_, {}, over.due_);
    } else {
        over.become(task::run::idle);
        over.ended();
        if (its == owners::run_and_caller) {
            intrusive_ptr_release(&over);
            --active;
            tell_if_closed();
        } else {
            ended.insert(ended.end(), over);
        }
    }
    if (awaiting > 0) {
        run_ended.notify_all();
    }
}

/// A run is over, or its reference was dropped: the threads that wait for the end check again.
void scheduler::state::tell_if_closed() noexcept {
    if (!closed) {
        return;
    }
    run_ended.notify_all();
    if (active == 0) {
        leader_wakes.notify_all();
        standby_wakes.notify_all();
    }
}

/// Drops the references of the runs that have ended, one by one, each without the mutex.
void scheduler::state::release_ended(lock& held) noexcept {
    if (ended.empty()) {
        return;
    }
    worker* const self = current_worker();
    bool const releases_already = self != nullptr && std::exchange(self->releasing, true);
    if (self != nullptr && !releases_already) {
        self->busy_since = clock::now();
    }
    while (!ended.empty()) {
        task& first = *ended.begin();
        ended.erase(ended.begin());
        if (self != nullptr && self == leader && !queue.empty()) {
            call_standby();
        }
        held.unlock();
        intrusive_ptr_release(&first);
        held.lock();
        --active;
    }
    if (self != nullptr) {
        self->releasing = releases_already;
    }
    tell_if_closed();
}

/// In the child of a fork(): every task of the parent's state becomes idle, in this one.
void scheduler::state::forget_all_of(state& parents) noexcept {
    closed = parents.closed;
    parents.left_behind = true;
    parents.finishing = true;
    auto const take_over = [this](task& idle) {
        ended.insert(ended.end(), idle);
        ++active;
    };
    auto const forget = [&](task& forgotten) {
        forgotten.become(task::run::idle);  // also for the delivery that forked
        forgotten.begin_again_ = false;
        forgotten.left_behind();
        take_over(forgotten);
    };
    for (worker& each : parents.workers) {
        if (each.delivering == nullptr || each.abandoned) {
            continue;
        }
        forget(*each.delivering);
        if (&each != parents.current_worker()) {
            each.delivering.reset();
        }
    }
    parents.queue.clear_and_dispose([&](task* queued) { forget(*queued); });
    parents.ended.clear_and_dispose([&](task* idle) { take_over(*idle); });
}

}  // namespace handoff
