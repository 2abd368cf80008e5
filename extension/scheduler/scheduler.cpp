// scheduler: the interface. Its state does the work, in threads.cpp and runs.cpp.
#include "scheduler.hpp"

#include "state.hpp"
#include <handoff/gil/detail/assertion.hpp>

#include <algorithm>
#include <utility>

namespace handoff {

scheduler::scheduler(surroundings around)
    : around_(std::move(around)), state_(std::make_unique<state>(around_)) {}

scheduler::~scheduler() { close(); }

bool scheduler::ready() const noexcept { return state_->has_thread; }

void scheduler::get_ready() {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::get_ready()");
    std::scoped_lock const one_at_a_time(state_->adding_first);
    if (forks_child_ == nullptr) {
        forks_child_ = std::make_unique<state>(around_);
    }
    state_->add_first_thread();
}

void scheduler::start(task& started) {
    if (!ready()) {
        if (state::lock const held(state_->mutex); state_->closed) {
            throw scheduler_closed("the scheduler is closed");  // and it gets no thread any more
        }
        get_ready();
    }
    state::exclusive const held(*state_);
    state_->start(started);
}

void scheduler::stop(task& stopped) noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::stop()");
    if (!begin_stop(stopped)) {
        while (!await_stop(stopped, close_grace)) {
        }
    }
}

bool scheduler::begin_stop(task& stopped) noexcept {
    state::exclusive const held(*state_);
    return state_->begin_stop(stopped);
}

bool scheduler::await_stop(task& stopped, clock::duration at_most) noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::await_stop()");
    state::exclusive held(*state_);
    task::run const is = stopped.run_;
    // Running: it has begun again already.
    return is == task::run::idle || is == task::run::running ||
           state_->await_end(held.get(), stopped, clock::now() + at_most);
}

void scheduler::cut(task& ended) noexcept {
    state::exclusive const held(*state_);
    state_->cut(ended);
}

bool scheduler::running(task const& asked) const noexcept {
    state::lock const held(state_->mutex);
    return asked.run_ == task::run::running || asked.begin_again_;
}

bool scheduler::delivering(task const& asked) const noexcept {
    state::lock const held(state_->mutex);
    worker const* const deliverer = state_->deliverer_of(asked);
    return deliverer != nullptr && deliverer == state_->current_worker();
}

void scheduler::begin_close() noexcept {
    state& its = *state_;
    state::exclusive const held(its);
    if (its.closed) {
        return;
    }
    its.closed = true;
    its.leader_wakes.notify_all();
    its.standby_wakes.notify_all();
    its.drain_all(clock::now());
}

bool scheduler::await_close(clock::duration at_most) noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::await_close()");
    state& its = *state_;
    state::exclusive held(its);
    auto const all_idle = [&] {
        its.release_ended(held.get());
        return its.active == 0 || its.current_worker() != nullptr;  // not itself
    };
    time_point const until = clock::now() + at_most;
    if (its.run_ended.wait_until(held.get(), std::min(until, its.give_up), all_idle)) {
        return true;
    }
    // What is still queued at the end of the grace has no thread left that could deliver it.
    if (clock::now() >= its.give_up) {
        its.give_up_all();
    }
    return its.run_ended.wait_until(held.get(), until, all_idle);
}

scheduler::ending scheduler::join() noexcept {
    detail::assert_gil_released(around_.held_by_caller, "scheduler::join()");
    ending report;
    boost::container::static_vector<std::thread, most_threads> finished;  // allocates nothing
    {
        state& its = *state_;
        state::exclusive const held(its);
        if (its.current_worker() != nullptr) {
            return report;
        }
        its.finishing = true;
        its.leader_wakes.notify_all();
        its.standby_wakes.notify_all();
        its.give_up_all();
        for (worker& each : its.workers) {
            if (!each.thread.joinable()) {
                continue;
            }
            if (!each.busy()) {
                finished.push_back(std::move(each.thread));
                continue;
            }
            report.abandoned.push_back(
                {.of = each.delivering, .thread = each.thread.native_handle()});
            each.abandoned = true;
            each.thread.detach();
            if (each.delivering != nullptr) {
                each.delivering->begin_again_ = false;
                its.become_idle(*each.delivering);
            }
        }
        report.given_up = std::exchange(its.given_up, 0);
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
    // The parent's threads do not exist here, but its objects name them as owners and waiters, so
    // none can be used or destroyed. A delivery that forked returns into its old state.
    state& parents = *state_.release();
    state_ = std::move(forks_child_);
    state_->forget_all_of(parents);
    parents.mutex.unlock();
}

}  // namespace handoff
