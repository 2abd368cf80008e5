// scheduler::state, threads: which thread leads, which stand by, and which waits for which.
#include "state.hpp"

#include <algorithm>
#include <exception>
#include <thread>

namespace handoff {

namespace {

/// A little less than the wait for the last turn; none if it was entered at once.
scheduler::clock::duration head_start_after(scheduler::clock::duration waited) noexcept {
    return waited < scheduler::shortest_wait ? scheduler::clock::duration(0)
                                             : std::min<scheduler::clock::duration>(
                                                   waited * 7 / 8, scheduler::longest_head_start);
}

}  // namespace

/// The calling thread, if it is one of these.
scheduler::worker* scheduler::state::current_worker() noexcept {
    auto const self = std::ranges::find(workers, std::this_thread::get_id(), &worker::id);
    return self != workers.end() ? &*self : nullptr;
}

/// The thread that delivers it now.
scheduler::worker* scheduler::state::deliverer_of(task const& asked) noexcept {
    if (asked.run_ == task::run::idle || asked.hook_.is_linked()) {
        return nullptr;
    }
    auto const deliverer = std::ranges::find_if(workers, [&asked](worker const& each) {
        return each.delivering == &asked && !each.abandoned;
    });
    return deliverer != workers.end() ? &*deliverer : nullptr;
}

/// Waits until the thread is inside its surroundings; without the mutex, which a fork() takes
/// while it holds what the thread may need to get there (in Python: the list of thread states).
void scheduler::state::add_first_thread() {
    lock held(mutex);
    if (has_thread || closed) {
        return;
    }
    worker const& first = *add_thread();
    worker_changed.wait(held, [&] { return first.is != worker::entering; });
    if (first.is == worker::vacant) {
        std::rethrow_exception(first.failure);
    }
    has_thread = true;
}

/// Makes a thread, if there is room for one. Its place becomes vacant again if it cannot enter its
/// surroundings.
scheduler::worker* scheduler::state::add_thread() {
    auto const room = std::ranges::find(workers, worker::vacant, &worker::is);
    bool const is_new = room == workers.end();
    if (is_new && workers.size() == most_threads) {
        return nullptr;
    }
    worker& added = is_new ? workers.emplace_back() : *room;
    if (added.thread.joinable()) {
        added.thread.join();  // it failed, and has nothing left to do
    }
    added.thread = std::thread([this, &added] { enter(added); });
    added.is = worker::entering;
    return &added;
}

/// What a thread does.
void scheduler::state::enter(worker& self) {
    auto const change_to = [&](worker::progress progress, std::thread::id id) {
        lock const held(mutex);
        self.is = progress;
        self.id = id;
        worker_changed.notify_all();
    };
    bool entered = false;
    try {
        around.thread([&] {
            entered = true;
            change_to(worker::inside, std::this_thread::get_id());
            work(self);
            change_to(worker::inside, {});  // which the system may give to another thread
        });
    } catch (...) {
        if (entered) {
            throw;  // a defect: std::terminate says which
        }
        self.failure = std::current_exception();
        change_to(worker::vacant, {});
    }
}

void scheduler::state::work(worker& self) {
    lock held(mutex);
    while (!finishing && (!closed || active > 0)) {
        if (leader == nullptr) {
            leader = &self;
        }
        if (leader != &self) {
            stand_by(held, self);
        } else if (queue.empty()) {
            leader_wakes.wait(held);
        } else if (time_point const until = queue.begin()->place_ - head_start;
                   until > clock::now()) {
            leader_wakes.wait_until(held, until);
        } else if (bool const at_once_again = take_turn(held, self); at_once_again) {
            held.unlock();
            std::this_thread::sleep_for(pause);
            held.lock();
        }
    }
}

/// Delivers what is due. Returns whether the next turn may be asked for at once: this one was over
/// before all was delivered, or others want what it held.
bool scheduler::state::take_turn(lock& held, worker& self) {
    bool more_is_due = false;
    time_point const asked = clock::now();
    auto deliveries = [&] {
        held.lock();
        turn current;
        bool const too_early = queue.empty() || !current.covers(*queue.begin());
        head_start = too_early ? clock::duration(0) : head_start_after(current.now_ - asked);
        while (leader == &self && !queue.empty() && current.covers(*queue.begin())) {
            deliver_first(held, self, current);
        }
        more_is_due = current.over();
        held.unlock();
    };
    held.unlock();
    bool const entered = around.turn(std::ref(deliveries));  // by reference: nothing is allocated
    held.lock();
    if (!entered) {
        give_up_all();
        release_ended(held);
    }
    return entered && (more_is_due || head_start > clock::duration(0));
}

/// Waits to be called, then watches as long as deliveries follow each other, and takes the lead
/// when one of them takes too long.
void scheduler::state::stand_by(lock& held, worker& self) {
    if (!leader->may_take_long()) {
        ++dormant;
        standby_wakes.wait(held);
        --dormant;
    } else if (time_point const late = leader->busy_since + patience; clock::now() < late) {
        ++watching;
        standby_wakes.wait_until(held, late);
        --watching;
    } else {
        leader = &self;
    }
}

/// Has a standby watch what the leader does. Returns whether there is one; if none can be made,
/// the other tasks wait for that delivery.
bool scheduler::state::call_standby() noexcept {
    if (dormant > 0) {
        standby_wakes.notify_one();
        return true;
    }
    if (watching > 0) {
        return true;
    }
    try {
        return add_thread() != nullptr;
    } catch (std::exception const&) {
        return false;
    }
}

/// The caller's thread is about to wait: another leads from now on. Returns whether there is one.
bool scheduler::state::hand_over_lead(worker& self) noexcept {
    if (leader != &self) {
        return true;
    }
    if (finishing || !call_standby()) {
        return false;
    }
    leader = nullptr;
    standby_wakes.notify_one();
    return true;
}

/// If every thread waits, inside a delivery, for the end of another task, no thread is left to
/// deliver what is due of the queued ones. So one of these is given up, and the threads that wait
/// for it go on.
void scheduler::state::let_one_go_on() noexcept {
    bool const all_wait = std::ranges::all_of(workers, [](worker const& each) {
        return each.is == worker::vacant || each.abandoned || each.awaiting != nullptr;
    });
    auto const waits_for_a_queued_one = [this](worker const& each) {
        return each.awaiting != nullptr && each.awaiting->run_ != task::run::idle &&
               deliverer_of(*each.awaiting) == nullptr;
    };
    auto const first = std::ranges::find_if(workers, waits_for_a_queued_one);
    if (all_wait && first != workers.end()) {
        become_idle(*first->awaiting);
    }
}

/// Returns whether it has ended, or cannot be waited for.
bool scheduler::state::await_end(lock& held, task& awaited, time_point until) noexcept {
    worker* const self = current_worker();
    if (self != nullptr) {
        auto const delivers = [&](task const* each) {
            return each != nullptr ? deliverer_of(*each) : nullptr;
        };
        for (worker const* link = delivers(&awaited); link != nullptr;
             link = delivers(link->awaiting)) {
            if (link == self) {
                return true;  // a ring: that delivery waits, in the end, for the caller's
            }
        }
        if (!hand_over_lead(*self) && deliverer_of(awaited) == nullptr) {
            become_idle(awaited);  // nobody is left to deliver what was due
            return true;
        }
        self->awaiting = &awaited;
        let_one_go_on();
    }
    ++awaiting;
    std::uint32_t const run = awaited.count_;
    auto has_ended = [&] { return awaited.run_ == task::run::idle || awaited.count_ != run; };
    for (time_point now = clock::now(); !has_ended() && now < until; now = clock::now()) {
        if (deliverer_of(awaited) == nullptr && now >= awaited.give_up_) {
            become_idle(awaited);  // every thread is busy, and the grace is over
        } else {
            time_point const grace = std::max(awaited.give_up_, now + stop_grace);
            run_ended.wait_until(held, std::min(until, grace));
        }
    }
    --awaiting;
    if (self != nullptr) {
        self->awaiting = nullptr;
    }
    return has_ended();
}

}  // namespace handoff
