// scheduler::task: delivers messages repeatedly; scheduler::turn: how many it may deliver at once.
#pragma once

#include "scheduler.hpp"

#include <boost/intrusive/avl_set.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

namespace handoff {

/// Made by new, and owned by boost::intrusive_ptr, because there may be millions and each byte
/// counts. An active run owns a reference. When the run has ended, some thread drops it, without
/// the scheduler's mutex.
class scheduler::task {
public:
    /// Whether a delivery may run other code, and so take any time. Then another thread stands
    /// by, and the scheduler's mutex is not held.
    enum class deliveries : bool { take_no_time, may_block };

    /// The result of a delivery.
    struct delivered {
        enum outcome : std::uint8_t {
            due_again,
            ended,      // the run is over
            not_at_once  // it cannot be delivered where it may take no time: see turn::at_once()
        };
        outcome is = ended;
        time_point next_due{};      // due_again: when
        clock::duration leeway{};  // and how much later it may come, to share a turn with others
    };

    explicit task(deliveries its) noexcept : may_block_(its == deliveries::may_block) {}
    virtual ~task() = default;
    task(task const&) = delete;
    task& operator=(task const&) = delete;

    /// Called when a run begins; its first message is due now, and has no leeway.
    virtual void begun(time_point now) noexcept = 0;

    /// Delivers one message, and another while `now.delivered_and_covers(its due time)`, or several
    /// as `now.room()` and `now.until()` allow. If `now.at_once()`, it does not wait, runs no
    /// other code, and does not call the scheduler, whose mutex is held. If it cannot deliver in
    /// this way, it says so and is called again without the mutex.
    virtual delivered deliver(turn& now) noexcept = 0;

    /// Called when a run has ended, and none follows it at once, on the thread that ended it. Must
    /// not wait for anything.
    virtual void ended() noexcept = 0;

    /// Called instead in the child of a fork(), where no other thread exists: one of the parent's
    /// threads may have locked the task's mutex, forever.
    virtual void left_behind() noexcept = 0;

    [[nodiscard]] bool may_block() const noexcept { return may_block_; }

    /// A reference, for a caller that has none but keeps the destructor from ending meanwhile; null
    /// if the last one is gone. boost::intrusive_ref_counter cannot say that.
    template <class Derived>
    [[nodiscard]] static boost::intrusive_ptr<Derived> referred(Derived& its) noexcept {
        auto& references = static_cast<task&>(its).references_;
        auto known = references.load(std::memory_order_relaxed);
        while (known != 0 &&
               !references.compare_exchange_weak(known, known + 1, std::memory_order_relaxed)) {
        }
        return {known == 0 ? nullptr : &its, false};
    }

    friend void intrusive_ptr_add_ref(task const* its) noexcept {
        its->references_.fetch_add(1, std::memory_order_relaxed);
    }
    friend void intrusive_ptr_release(task const* its) noexcept {
        // What any thread did with it comes before its end.
        if (its->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            delete its;
        }
    }

protected:
    /// Whether the delivery in progress belongs to a run that was not cut meanwhile.
    [[nodiscard]] bool wanted(turn const& now) const noexcept;

private:
    friend class scheduler;
    friend class turn;

    /// The states of a run: see "Life of a task".
    enum class run : std::uint8_t { idle, running, stopping, draining, cut };

    struct earlier {
        bool operator()(task const& a, task const& b) const noexcept { return a.place_ < b.place_; }
    };

    /// The leeway of the message that is due next, or being delivered. Half of it waits for others,
    /// and the other half is there to deliver all of them. None if it could not be delivered in
    /// time.
    [[nodiscard]] clock::duration leeway() const noexcept {
        return held_back_ ? clock::duration(0) : 2 * (place_ - due_);
    }

    /// A thread that reads it without the mutex is synchronised by what a turn waits for.
    void become(run is) noexcept { run_.store(is, std::memory_order_relaxed); }

    mutable std::atomic<std::uint32_t> references_ = 0;
    // Guarded by the scheduler's mutex; a turn reads the atomics without it.
    std::atomic<std::uint32_t> count_ = 0;  // number of runs
    // In the queue, or among those whose run has ended and whose reference is not dropped yet.
    boost::intrusive::avl_set_member_hook<boost::intrusive::optimize_size<true>> hook_;
    time_point due_{};  // when the next message is due
    time_point place_{};  // in the queue
    time_point last_due_{};  // stopping, draining: a message due later is not delivered
    time_point give_up_{};  // stopping, draining: the end of the grace
    std::atomic<run> run_ = run::idle;
    bool const may_block_;
    bool held_back_ : 1 = false;  // queued: behind, or could not deliver; not before its place
    bool begin_again_ : 1 = false;  // start() was called before the last run was over
};

/// One stay inside a turn, and how much a task may do in it.
class scheduler::turn {
public:
    /// Counts messages that were delivered. Returns whether the next one, due then, belongs to
    /// this turn as well: it was due when the task's delivery began, the turn has not lasted too
    /// long, and the run was not cut meanwhile.
    [[nodiscard]] bool delivered_and_covers(time_point next_due, unsigned delivered = 1) noexcept {
        delivered_ += delivered;
        return next_due <= until_ && task_->wanted(*this) && (delivered_ < look_at_ || in_time());
    }

    /// Whether the scheduler's mutex is held, so that a delivery may take no more than a moment.
    [[nodiscard]] bool at_once() const noexcept { return at_once_; }

    /// Messages that are due later belong to another turn.
    [[nodiscard]] time_point until() const noexcept { return until_; }

    /// How many messages may be delivered before it is asked again, at least one.
    [[nodiscard]] unsigned room() const noexcept {
        return delivered_ < look_at_ ? look_at_ - delivered_ : 1;
    }

private:
    friend class scheduler;

    /// Reading the clock costs about as much as an append, so it is read once for this many at
    /// most.
    static constexpr unsigned longest_stride = 128;

    turn() noexcept : now_(clock::now()), leave_(now_ + longest_turn) {}

    /// Whether there is time for this one, and it is due.
    [[nodiscard]] bool covers(task const& first) noexcept {
        return (delivered_ < look_at_ || in_time()) && !over() &&
               (first.held_back_ ? first.place_ : first.due_) <= now_;
    }

    void turn_to(task& next) noexcept {
        task_ = &next;
        count_ = next.count_.load(std::memory_order_relaxed);
        at_once_ = !next.may_block();
        delivered_before_ = delivered_;
        if (next.may_block()) {
            now_ = clock::now();
            looked_at_ = delivered_;
            look_at_ = delivered_ + 1;
        }
        bool const is_running = next.run_.load(std::memory_order_relaxed) == task::run::running;
        until_ = is_running ? now_ : std::min(now_, next.last_due_);
    }

    [[nodiscard]] bool over() const noexcept { return now_ >= leave_; }
    [[nodiscard]] bool delivered_any() const noexcept { return delivered_ != delivered_before_; }

    /// Reads the clock, and decides when to read it again: well before the turn is over, at this
    /// pace.
    bool in_time() noexcept {
        time_point const before = std::exchange(now_, clock::now());
        auto const fit = (delivered_ - looked_at_) * (leave_ - now_) /
                         (4 * (now_ - before) + clock::duration(1));
        looked_at_ = delivered_;
        look_at_ =
            delivered_ + static_cast<unsigned>(std::clamp<clock::rep>(fit, 1, longest_stride));
        return !over();
    }

    friend class task;

    time_point now_;  // when the clock was last read
    time_point leave_;
    unsigned delivered_ = 0;
    unsigned looked_at_ = 0;
    unsigned look_at_ = longest_stride;

    task* task_ = nullptr;
    std::uint32_t count_ = 0;  // the number of its run
    bool at_once_ = false;
    time_point until_{};
    unsigned delivered_before_ = 0;
};

inline bool scheduler::task::wanted(turn const& now) const noexcept {
    run const is = run_.load(std::memory_order_relaxed);
    return is != run::cut && is != run::idle &&
           count_.load(std::memory_order_relaxed) == now.count_;
}

}  // namespace handoff
