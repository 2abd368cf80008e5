// The scheduler on its own: no Python, only tasks, threads and the clock.
#include "task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using handoff::scheduler;
using namespace std::chrono_literals;

constexpr auto long_enough = 20s * HANDOFF_PATIENCE;
constexpr auto a_while = 50ms;

/// A task that runs a function for each message and is due again after an interval.
class job : public scheduler::task {
public:
    using action = std::function<void(job&)>;

    job(scheduler::clock::duration interval, action each)
        : job(interval, std::move(each), deliveries::may_block) {}

    void begun(scheduler::time_point now) noexcept override {
        begin_ = now;
        messages_ = 0;
    }

    delivered deliver(scheduler::turn& now) noexcept override {
        scheduler::time_point due;
        do {
            each_(*this);
            std::scoped_lock const held(mutex_);
            ++delivered_;
            threads_.insert(std::this_thread::get_id());
            due = begin_ + ++messages_ * interval_;
            changed_.notify_all();
        } while (now.delivered_and_covers(due));
        return ends_ ? delivered{.is = delivered::ended} : again(due);
    }

    void left_behind() noexcept override {}

    void ended() noexcept override {
        std::scoped_lock const held(mutex_);
        ++ends_seen_;
        changed_.notify_all();
    }

    void set_leeway(scheduler::clock::duration leeway) { leeway_ = leeway; }

    /// When the run began.
    [[nodiscard]] scheduler::time_point begin() const { return begin_; }

    /// Whether so many were delivered, within `long_enough`.
    bool delivers(int count) {
        std::unique_lock held(mutex_);
        return changed_.wait_for(held, long_enough, [&] { return delivered_ >= count; });
    }

    /// Whether its run ended, within `long_enough`.
    bool ends() {
        std::unique_lock held(mutex_);
        return changed_.wait_for(held, long_enough, [&] { return ends_seen_ > 0; });
    }

    [[nodiscard]] int count() const {
        std::scoped_lock const held(mutex_);
        return delivered_;
    }
    [[nodiscard]] int ends_seen() const {
        std::scoped_lock const held(mutex_);
        return ends_seen_;
    }
    void end_after_this() { ends_ = true; }

protected:
    job(scheduler::clock::duration interval, action each, deliveries its)
        : task(its), each_(std::move(each)), interval_(interval) {}

    [[nodiscard]] delivered again(scheduler::time_point due) const {
        return {.is = delivered::due_again, .next_due = due, .leeway = leeway_};
    }

private:
    action each_;
    scheduler::clock::duration interval_;
    scheduler::clock::duration leeway_{};
    scheduler::time_point begin_{};
    int messages_ = 0;
    bool ends_ = false;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    int delivered_ = 0;
    int ends_seen_ = 0;
    std::set<std::thread::id> threads_;
};

/// The tasks outlive the scheduler, which is closed at the end of each test.
class Scheduler : public testing::Test {
protected:
    boost::intrusive_ptr<job> every(
        scheduler::clock::duration interval, job::action each = [](job&) {}) {
        return tasks_.emplace_back(new job(interval, std::move(each)));
    }

private:
    std::vector<boost::intrusive_ptr<job>> tasks_;

protected:
    scheduler it{{}};
};

class SchedulerSurroundings : public Scheduler {};

TEST_F(Scheduler, DeliversAtOnce) {
    auto const task = every(1h);
    it.start(*task);
    EXPECT_TRUE(task->delivers(1));
    it.stop(*task);
    EXPECT_EQ(task->count(), 1);
}

TEST_F(Scheduler, DeliversTheFirstMessageEvenIfStoppedAtOnce) {
    auto const task = every(1h);
    it.start(*task);
    it.stop(*task);
    EXPECT_EQ(task->count(), 1);
}

TEST_F(Scheduler, GivesTheFirstMessageNoLeewayAndDropsWhatIsWithinItsOwn) {
    auto const task = every(50ms);
    task->set_leeway(1h);
    it.start(*task);
    ASSERT_TRUE(task->delivers(1));
    std::promise<void>().get_future().wait_for(200ms);  // several are due, none is late
    it.stop(*task);
    EXPECT_EQ(task->count(), 1);
}

TEST_F(Scheduler, StartsATaskWhenItHasHadNothingToDo) {
    auto const first = every(1h);
    it.start(*first);
    ASSERT_TRUE(first->delivers(1));
    it.stop(*first);
    auto const second = every(1h);
    it.start(*second);
    EXPECT_TRUE(second->delivers(1));
}

TEST_F(Scheduler, DeliversAtAFixedRate) {
    auto const task = every(1ms);
    auto const begin = scheduler::clock::now();
    it.start(*task);
    auto const started = scheduler::clock::now();
    ASSERT_TRUE(task->delivers(100));
    auto const before_stop = scheduler::clock::now();
    it.stop(*task);
    auto const end = scheduler::clock::now();
    EXPECT_GE(task->count(), (before_stop - started) / 1ms + 1);  // nothing due is missing
    EXPECT_LE(task->count(), (end - begin) / 1ms + 1);            // and nothing is early
}

TEST_F(Scheduler, StopsATaskThatIsNotDueWithoutWaitingForItsTime) {
    auto const task = every(1h);
    it.start(*task);
    ASSERT_TRUE(task->delivers(1));
    it.stop(*task);  // the test's timeout is shorter than the hour
    EXPECT_FALSE(it.running(*task));
    EXPECT_EQ(task->ends_seen(), 1);
}

TEST_F(Scheduler, StopIsIdempotent) {
    auto const task = every(1ms);
    it.stop(*task);
    it.start(*task);
    it.stop(*task);
    it.stop(*task);
    EXPECT_EQ(task->ends_seen(), 1);
}

TEST_F(Scheduler, StopWaitsForTheDeliveryInProgress) {
    std::latch entered(1);
    std::latch leave(1);
    auto const task = every(1h, [&](job&) {
        entered.count_down();
        leave.wait();
    });
    it.start(*task);
    entered.wait();
    auto stopped = std::async(std::launch::async, [&] { it.stop(*task); });
    EXPECT_EQ(stopped.wait_for(50ms), std::future_status::timeout);
    leave.count_down();
    EXPECT_EQ(stopped.wait_for(long_enough), std::future_status::ready);
    EXPECT_EQ(task->count(), 1);
}

TEST_F(Scheduler, StopFromTheTasksOwnDeliveryMakesItTheLast) {
    auto const task = every(1us, [&](job& self) { it.stop(self); });
    it.start(*task);
    ASSERT_TRUE(task->delivers(1));
    it.stop(*task);
    EXPECT_EQ(task->count(), 1);
}

TEST_F(Scheduler, TwoTasksThatStopEachOtherBothEnd) {
    std::latch both_in(2);
    boost::intrusive_ptr<job> other;
    auto const one = every(1h, [&](job&) {
        both_in.arrive_and_wait();
        it.stop(*other);
    });
    other = every(1h, [&](job&) {
        both_in.arrive_and_wait();
        it.stop(*one);
    });
    it.start(*one);
    it.start(*other);
    EXPECT_TRUE(one->delivers(1));
    EXPECT_TRUE(other->delivers(1));
    it.stop(*one);
    it.stop(*other);
}

TEST_F(Scheduler, ADeliveryMayStopATaskThatIsDue) {
    std::latch started(1);
    auto const other = every(1us);
    auto const one = every(1h, [&](job&) {
        it.start(*other);
        it.stop(*other);
        started.count_down();
    });
    it.start(*one);
    started.wait();
    EXPECT_GE(other->count(), 1);
    EXPECT_FALSE(it.running(*other));
}

TEST_F(Scheduler, RefusesToStartATaskThatRuns) {
    auto const task = every(1h);
    it.start(*task);
    EXPECT_THROW(it.start(*task), scheduler::task_running);
    EXPECT_TRUE(it.running(*task));
}

TEST_F(Scheduler, StartsAgainAfterAStop) {
    auto const task = every(1h);
    it.start(*task);
    it.stop(*task);
    it.start(*task);
    EXPECT_TRUE(task->delivers(2));
}

TEST_F(Scheduler, StartsAgainFromTheTasksOwnDelivery) {
    auto const task = every(1h, [&, first = true](job& self) mutable {
        if (std::exchange(first, false)) {
            it.stop(self);
            it.start(self);
        }
    });
    it.start(*task);
    EXPECT_TRUE(task->delivers(2));
    EXPECT_TRUE(it.running(*task));
    EXPECT_EQ(task->ends_seen(), 0);
}

TEST_F(Scheduler, ATaskMayEndItself) {
    auto const task = every(1us, [&](job& self) { self.end_after_this(); });
    it.start(*task);
    ASSERT_TRUE(task->delivers(1));
    it.stop(*task);
    EXPECT_FALSE(it.running(*task));
    EXPECT_EQ(task->ends_seen(), 1);
}

TEST_F(Scheduler, ABlockedDeliveryHoldsUpNoOtherTask) {
    std::latch unblock(1);
    auto const blocked = every(1h, [&](job&) { unblock.wait(); });
    auto const other = every(1ms);
    it.start(*blocked);
    it.start(*other);
    EXPECT_TRUE(other->delivers(50));
    unblock.count_down();
    it.stop(*blocked);  // before what it refers to goes
}

TEST_F(Scheduler, TheLeadIsTakenOverAsOftenAsDeliveriesBlock) {
    std::latch unblock(1);
    std::vector<boost::intrusive_ptr<job>> blocked;
    for (std::size_t i = 0; i < scheduler::most_threads - 2; ++i) {
        blocked.push_back(every(1h, [&](job&) { unblock.wait(); }));
        it.start(*blocked.back());
    }
    auto const other = every(1ms);
    it.start(*other);
    EXPECT_TRUE(other->delivers(50));
    unblock.count_down();
    for (auto const& each : blocked) {
        it.stop(*each);
    }
}

TEST_F(Scheduler, OneThatCannotKeepUpDoesNotStarveAnother) {
    auto const too_fast = every(1ns);
    auto const other = every(1ms);
    it.start(*too_fast);
    it.start(*other);
    EXPECT_TRUE(other->delivers(50));
    it.stop(*too_fast);
}

TEST_F(Scheduler, StopGivesUpWhatCannotBeDeliveredInTime) {
    auto const too_slow = every(1us, [](job&) { std::promise<void>().get_future().wait_for(1ms); });
    it.get_ready();
    auto const begin = scheduler::clock::now();
    it.start(*too_slow);
    ASSERT_TRUE(too_slow->delivers(1));
    auto const owed = (scheduler::clock::now() - begin) / 1us;
    it.stop(*too_slow);
    EXPECT_FALSE(it.running(*too_slow));
    EXPECT_LT(too_slow->count(), owed / 4);  // a thousandth, and a hundred in the grace
}

/// A job whose first messages take no time: they are given to `at_once`.
class quick_job : public job {
public:
    quick_job(scheduler::clock::duration interval, int quick, std::function<void()> at_once,
              action each)
        : job(interval, std::move(each), deliveries::take_no_time),
          interval_(interval),
          quick_(quick),
          at_once_(std::move(at_once)) {}

    void begun(scheduler::time_point now) noexcept override {
        job::begun(now);
        messages_ = 0;
    }

    delivered deliver(scheduler::turn& now) noexcept override {
        if (!now.at_once()) {
            return job::deliver(now);
        }
        do {
            if (messages_ == quick_) {
                return {.is = delivered::not_at_once};
            }
            at_once_();
            ++messages_;
        } while (now.delivered_and_covers(begin() + messages_ * interval_));
        return again(begin() + messages_ * interval_);
    }

private:
    scheduler::clock::duration interval_;
    int quick_;
    int messages_ = 0;
    std::function<void()> at_once_;
};

TEST_F(Scheduler, WhatTakesNoTimeIsDeliveredAtOnceAndTheRestInItsTurn) {
    std::string order;
    boost::intrusive_ptr const task(new quick_job(
        1ms, 3, [&] { order += 'q'; },
        [&](job& self) {
            order += 'd';
            self.end_after_this();
        }));
    it.start(*task);
    ASSERT_TRUE(task->ends());
    EXPECT_THAT(order, testing::StartsWith("qqqd"));
}

TEST_F(Scheduler, WhatIsDeliveredAtOnceLetsOthersHaveTheirTurn) {
    auto const beside = every(1ms);
    boost::intrusive_ptr const endless(new quick_job(1ns, INT_MAX, [] {}, [](job&) {}));
    it.start(*endless);
    it.start(*beside);
    EXPECT_TRUE(beside->delivers(10));
    it.stop(*endless);
    EXPECT_FALSE(it.running(*endless));
}

TEST(SchedulerTurns, IsAskedForAheadOfTimeWhereTheLastOneWasWaitedFor) {
    constexpr scheduler::clock::duration interval = 40ms;
    boost::intrusive_ptr const task(new job(interval, [](job&) {}));
    std::promise<void> asked_early;
    bool told = false;
    scheduler it({.turn = [&](auto const& work) {
        bool const early = (scheduler::clock::now() - task->begin()) % interval > interval / 2;
        if (early && !std::exchange(told, true)) {
            asked_early.set_value();
        }
        std::this_thread::sleep_for(5ms);  // the wait for what others hold
        work();
        return true;
    }});
    it.start(*task);
    EXPECT_EQ(asked_early.get_future().wait_for(long_enough), std::future_status::ready);
    it.stop(*task);
}

TEST(SchedulerTurns, AStartByWhoHoldsOneDeliversTheFirstMessageItselfIfItTakesNoTime) {
    std::atomic<bool> held = false;
    scheduler it({.held_by_caller = [&] { return held.load(); }});
    it.get_ready();
    held = true;
    std::thread::id first;
    boost::intrusive_ptr const quick(
        new quick_job(1h, 1, [&] { first = std::this_thread::get_id(); }, [](job&) {}));
    it.start(*quick);
    EXPECT_EQ(first, std::this_thread::get_id());
    boost::intrusive_ptr const slow(new quick_job(1h, 0, [] {}, [](job&) {}));
    it.start(*slow);
    held = false;
    EXPECT_TRUE(slow->delivers(1));
    it.stop(*quick);
    it.stop(*slow);
}

TEST(SchedulerTurns, AStartByWhoHoldsNoneLeavesEvenWhatTakesNoTimeToAThread) {
    scheduler it{{}};
    std::promise<std::thread::id> first;
    boost::intrusive_ptr const quick(
        new quick_job(1h, 1, [&] { first.set_value(std::this_thread::get_id()); }, [](job&) {}));
    it.start(*quick);
    EXPECT_NE(first.get_future().get(), std::this_thread::get_id());
    it.stop(*quick);
}

/// Turns wait until the test lets go of what they wait for.
class SchedulerTurnsThatWait : public testing::Test {
protected:
    std::atomic<bool> held = false;
    std::promise<void> let_go;
    std::shared_future<void> const free = let_go.get_future().share();
    scheduler it{{.turn =
                      [&](auto const& work) {
                          free.wait();
                          work();
                          return true;
                      },
                  .held_by_caller = [&] { return held.load(); }}};
};

TEST_F(SchedulerTurnsThatWait, AStopByWhoHoldsOneGivesWhatMayBlockItsTimeToBegin) {
    boost::intrusive_ptr const task(new job(1h, [](job&) {}));
    it.start(*task);
    held = true;
    EXPECT_FALSE(it.begin_stop(*task));
    held = false;
    EXPECT_FALSE(it.await_stop(*task, 2 * scheduler::stop_grace));
    let_go.set_value();
    EXPECT_TRUE(it.await_stop(*task, long_enough));
    EXPECT_EQ(task->count(), 1);
}

/// A job that can deliver nothing now.
class hindered_job : public job {
public:
    explicit hindered_job(action asked) : job(1h, {}), asked_(std::move(asked)) {}
    delivered deliver(scheduler::turn& /*now*/) noexcept override {
        asked_(*this);
        return again(begin());
    }

private:
    action asked_;
};

TEST(SchedulerTurns, OfOneThatCanDeliverNothingItIsAskedOnceInEach) {
    int turns = 0;
    int asked = 0;
    std::promise<void> some;
    scheduler it({.turn = [&](auto const& work) {
        ++turns;
        work();
        return true;
    }});
    boost::intrusive_ptr const task(new hindered_job([&](job&) {
        if (++asked == 5) {
            some.set_value();
        }
    }));
    it.start(*task);
    EXPECT_EQ(some.get_future().wait_for(long_enough), std::future_status::ready);
    it.stop(*task);
    it.close();
    EXPECT_LE(asked, turns);
}

/// A job that delivers as many as there is room for.
class greedy_job : public job {
public:
    greedy_job() : job(1h, {}, deliveries::take_no_time) {}
    delivered deliver(scheduler::turn& now) noexcept override {
        for (unsigned count = 1; now.delivered_and_covers(begin(), count);) {
            count = now.room();
            largest = std::max(largest, count);
        }
        if (++turns == 2) {
            two_turns.set_value();
        }
        return again(begin());
    }

    unsigned largest = 0;
    int turns = 0;
    std::promise<void> two_turns;
};

TEST_F(Scheduler, LooksAtTheClockAsOftenHoweverManyWereDelivered) {
    boost::intrusive_ptr const task(new greedy_job);
    it.start(*task);
    EXPECT_EQ(task->two_turns.get_future().wait_for(long_enough), std::future_status::ready);
    it.stop(*task);
    EXPECT_LE(task->largest, 128U);
}

TEST_F(SchedulerTurnsThatWait, AStopByWhoHoldsOneDeliversWhatTakesNoTimeItself) {
    int delivered = 0;
    boost::intrusive_ptr const task(new quick_job(1us, INT_MAX, [&] { ++delivered; }, [](job&) {}));
    it.start(*task);
    auto const started = scheduler::clock::now();
    held = true;
    auto const owed = (scheduler::clock::now() - started) / 1us + 1;
    EXPECT_TRUE(it.begin_stop(*task));
    EXPECT_GE(delivered, owed);
    EXPECT_FALSE(it.running(*task));
    held = false;
    let_go.set_value();
}

TEST_F(Scheduler, AStopBetweenMessagesThatTakeNoTimeLosesNoneThatWasDue) {
    int delivered = 0;
    std::promise<void> ten;
    boost::intrusive_ptr const task(new quick_job(
        10us, INT_MAX,
        [&] {
            if (++delivered == 10) {
                ten.set_value();
            }
        },
        [](job&) {}));
    for (int i = 0; i < 100; ++i) {
        delivered = 0;
        ten = std::promise<void>();
        auto const before = scheduler::clock::now();
        it.start(*task);
        auto const started = scheduler::clock::now();
        ASSERT_EQ(ten.get_future().wait_for(long_enough), std::future_status::ready);
        auto const stopping = scheduler::clock::now();
        it.stop(*task);
        auto const end = scheduler::clock::now();
        EXPECT_GE(delivered, (stopping - started) / 10us + 1);
        EXPECT_LE(delivered, (end - before) / 10us + 1);
    }
}

TEST_F(Scheduler, ATaskDroppedInItsOwnDeliveryLivesUntilThatReturns) {
    std::promise<bool> alive;
    boost::intrusive_ptr<job> owner;
    std::latch owned(1);
    auto part = std::make_shared<int>();
    std::weak_ptr<int> const watch = part;
    owner = new job(1h, [&, part_of_the_task = std::move(part)](job& self) {
        owned.wait();
        it.stop(self);
        owner.reset();
        alive.set_value(!watch.expired());
    });
    it.start(*owner);
    owned.count_down();
    EXPECT_TRUE(alive.get_future().get());
    it.close();
    EXPECT_TRUE(watch.expired());
}

TEST_F(Scheduler, ARunKeepsItsTaskAliveUntilItHasEnded) {
    auto part = std::make_shared<int>();
    std::weak_ptr<int> const watch = part;
    std::promise<void> delivered;
    boost::intrusive_ptr<job> owner(
        new job(1h, [&, part_of_the_task = std::move(part)](job&) { delivered.set_value(); }));
    it.start(*owner);
    owner.reset();
    EXPECT_EQ(delivered.get_future().wait_for(long_enough), std::future_status::ready);
    EXPECT_FALSE(watch.expired());
    it.close();  // nobody owns it who could stop it
    EXPECT_TRUE(watch.expired());
}

TEST_F(Scheduler, ARunThatIsCutOwesNothingAndIsOverAtOnce) {
    std::latch entered(1);
    std::latch leave(1);
    auto const in_the_way = every(1h, [&](job&) {
        entered.count_down();
        leave.wait();
    });
    scheduler alone({.turn = [turns = std::make_shared<std::mutex>()](auto const& deliveries) {
        std::scoped_lock const one_at_a_time(*turns);
        deliveries();
        return true;
    }});
    alone.start(*in_the_way);
    entered.wait();
    auto part = std::make_shared<int>();
    std::weak_ptr<int> const watch = part;
    boost::intrusive_ptr<job> owed(new job(1us, [part_of_the_task = std::move(part)](job&) {}));
    alone.start(*owed);
    alone.cut(*owed);
    EXPECT_FALSE(alone.running(*owed));
    EXPECT_EQ(owed->ends_seen(), 1);
    owed.reset();
    EXPECT_TRUE(watch.expired());
    leave.count_down();
    alone.stop(*in_the_way);
}

TEST_F(Scheduler, ACutDoesNotWaitForTheDeliveryInProgressWhichIsTheLast) {
    std::latch entered(1);
    std::latch leave(1);
    auto const task = every(1us, [&](job&) {
        entered.count_down();
        leave.wait();
    });
    it.start(*task);
    entered.wait();
    it.cut(*task);
    EXPECT_FALSE(it.running(*task));
    EXPECT_EQ(task->ends_seen(), 0);
    leave.count_down();
    EXPECT_TRUE(task->ends());
    EXPECT_EQ(task->count(), 1);
}

TEST_F(Scheduler, ACutTakesBackAStartThatWaitsForTheLastRunToEnd) {
    std::latch entered(1);
    std::latch leave(1);
    auto const task = every(1us, [&](job& self) {
        it.stop(self);
        it.start(self);
        entered.count_down();
        leave.wait();
    });
    it.start(*task);
    entered.wait();
    it.cut(*task);
    leave.count_down();
    EXPECT_TRUE(task->ends());
    EXPECT_EQ(task->count(), 1);
    EXPECT_FALSE(it.running(*task));
}

TEST_F(Scheduler, StartsAgainAfterACut) {
    auto const task = every(1h);
    it.start(*task);
    ASSERT_TRUE(task->delivers(1));
    it.cut(*task);
    it.start(*task);
    EXPECT_TRUE(task->delivers(2));
    EXPECT_TRUE(it.running(*task));
}

TEST_F(Scheduler, AStopReturnsWhenTheRunIsCutElsewhere) {
    std::latch entered(1);
    std::latch leave(1);
    auto const blocked = every(1h, [&](job&) {
        entered.count_down();
        leave.wait();
    });
    std::mutex turns;
    scheduler alone({.turn = [&](auto const& deliveries) {
        std::scoped_lock const one_at_a_time(turns);
        deliveries();
        return true;
    }});
    alone.start(*blocked);
    entered.wait();
    auto const owed = every(1us);
    alone.start(*owed);
    auto stopped = std::async(std::launch::async, [&] { alone.stop(*owed); });
    while (alone.running(*owed)) {
        std::this_thread::yield();
    }
    alone.cut(*owed);
    EXPECT_EQ(stopped.wait_for(long_enough), std::future_status::ready);
    EXPECT_EQ(owed->count(), 0);
    leave.count_down();
    alone.stop(*blocked);
}

TEST_F(Scheduler, WhatALastReferenceRunsAsItGoesHoldsUpNoOtherTask) {
    std::latch dropped(1);
    std::latch let_go(1);
    std::latch going(1);
    auto slow_to_go = std::shared_ptr<int>(new int, [&](int* number) {
        going.count_down();
        let_go.wait();
        delete number;
    });
    boost::intrusive_ptr<job> owner(
        new job(1h, [&, part_of_the_task = std::move(slow_to_go)](job& self) {
            dropped.wait();
            self.end_after_this();
        }));
    it.start(*owner);
    owner.reset();
    dropped.count_down();
    going.wait();
    auto const other = every(1ms);
    it.start(*other);
    EXPECT_TRUE(other->delivers(20));
    let_go.count_down();
    it.close();  // before what it refers to goes
}

TEST_F(Scheduler, CloseDeliversWhatIsDueAndStopsAll) {
    std::vector<boost::intrusive_ptr<job>> tasks;
    for (int i = 0; i < 10; ++i) {
        tasks.push_back(every(1ms));
        it.start(*tasks.back());
    }
    auto const started = scheduler::clock::now();
    ASSERT_TRUE(tasks.back()->delivers(20));
    auto const before_close = scheduler::clock::now();
    EXPECT_EQ(it.close().given_up, 0U);
    for (auto const& each : tasks) {
        EXPECT_FALSE(it.running(*each));
        EXPECT_GE(each->count(), (before_close - started) / 1ms + 1);
    }
}

TEST_F(Scheduler, CloseCountsTheTasksThatGaveUp) {
    auto const too_slow =
        every(1us, [](job&) { std::promise<void>().get_future().wait_for(10ms); });
    it.start(*too_slow);
    ASSERT_TRUE(too_slow->delivers(1));
    EXPECT_EQ(it.close().given_up,
              1U);  // ten thousand are due, of which it can deliver two hundred
}

TEST_F(Scheduler, RefusesToStartOnceClosed) {
    it.close();
    it.close();
    auto const task = every(1h);
    EXPECT_THROW(it.start(*task), scheduler::scheduler_closed);
    EXPECT_FALSE(it.running(*task));
}

TEST_F(SchedulerSurroundings, EveryDeliveryIsInsideAThreadAndATurn) {
    thread_local bool in_thread = false;
    thread_local bool in_turn = false;
    scheduler surrounded({.thread =
                              [](auto const& body) {
                                  in_thread = true;
                                  body();
                                  in_thread = false;
                              },
                          .turn =
                              [](auto const& deliveries) {
                                  in_turn = true;
                                  deliveries();
                                  in_turn = false;
                                  return true;
                              }});
    std::promise<std::pair<bool, bool>> inside;
    auto const task = every(1h, [&](job&) { inside.set_value({in_thread, in_turn}); });
    surrounded.start(*task);
    EXPECT_THAT(inside.get_future().get(), testing::Pair(true, true));
}

TEST_F(SchedulerSurroundings, AThreadThatCannotEnterThemIsAnErrorOfStart) {
    bool fails = true;
    scheduler surrounded({.thread = [&](auto const& body) {
        if (fails) {
            throw std::bad_alloc();
        }
        body();
    }});
    auto const task = every(1h);
    EXPECT_THROW(surrounded.start(*task), std::bad_alloc);
    EXPECT_FALSE(surrounded.running(*task));

    fails = false;
    surrounded.start(*task);
    EXPECT_TRUE(task->delivers(1));
}

TEST_F(SchedulerSurroundings, StopWaitsLongerThanItsGraceForATurnThatIsHardToGet) {
    std::latch entered(1);
    std::mutex busy;
    scheduler surrounded({.turn = [&](auto const& deliveries) {
        std::scoped_lock const turn(busy);
        deliveries();
        return true;
    }});
    auto const due = every(1ms, [&](job& self) {
        if (self.count() == 0) {
            entered.count_down();
        }
    });
    surrounded.start(*due);
    entered.wait();
    std::unique_lock keeps_out(busy);
    auto const begin = scheduler::clock::now();
    while (scheduler::clock::now() < begin + 10ms) {
        std::this_thread::yield();  // ten more are owed
    }
    int const delivered = due->count();
    std::future<void> const stopped =
        std::async(std::launch::async, [&] { surrounded.stop(*due); });
    while (surrounded.running(*due)) {
        std::this_thread::yield();
    }
    EXPECT_EQ(stopped.wait_for(2 * scheduler::stop_grace), std::future_status::timeout);
    keeps_out.unlock();
    ASSERT_EQ(stopped.wait_for(long_enough), std::future_status::ready);
    EXPECT_GE(due->count(), delivered + 9);
}

TEST_F(SchedulerSurroundings, ATurnThatCannotBeEnteredGivesAllUp) {
    bool may_enter = true;
    scheduler surrounded({.turn = [&](auto const& deliveries) {
        if (may_enter) {
            deliveries();
        }
        return may_enter;
    }});
    auto const due = every(1us, [&](job& self) { may_enter = self.count() < 3; });
    surrounded.start(*due);
    ASSERT_TRUE(due->ends());
    EXPECT_FALSE(surrounded.running(*due));
    EXPECT_THROW(surrounded.start(*due), scheduler::scheduler_closed);
    EXPECT_EQ(surrounded.close().given_up, 1U);
}

TEST_F(SchedulerSurroundings, OfTwoFirstStartsOfATaskOneIsRefused) {
    std::latch both_begin(2);
    scheduler surrounded({.thread = [&](auto const& body) {
        both_begin.wait();
        std::this_thread::sleep_for(a_while);  // none of them returns meanwhile
        body();
    }});
    auto const task = every(1h);
    auto const starts = [&] {
        both_begin.count_down();
        try {
            surrounded.start(*task);
            return 1;
        } catch (scheduler::task_running const&) {
            return 0;
        }
    };
    auto other = std::async(std::launch::async, starts);
    EXPECT_EQ(starts() + other.get(), 1);
}

TEST(SchedulerThatIsNeverDestroyed, JoinAbandonsADeliveryThatDoesNotEnd) {
    static std::promise<void> blocks;
    static std::promise<void> goes_on;
    static std::promise<void> has_left;
    static auto const& stuck = *new boost::intrusive_ptr(new job(1ms, [](job& self) {
        if (self.count() == 0) {
            blocks.set_value();
            goes_on.get_future().wait();
        }
    }));
    static auto& it = *new scheduler({.thread = [](auto const& body) {
        body();
        if (stuck->count() > 0) {
            has_left.set_value();
        }
    }});
    boost::intrusive_ptr const other(new job(1ms, [](job&) {}));
    it.start(*stuck);
    it.start(*other);
    blocks.get_future().wait();
    it.begin_close();
    EXPECT_FALSE(it.await_close(scheduler::stop_grace));
    EXPECT_FALSE(it.running(*other));

    auto const ending = it.join();
    ASSERT_EQ(ending.abandoned.size(), 1U);
    EXPECT_EQ(ending.abandoned.front().of, stuck);
    EXPECT_EQ(stuck->ends_seen(), 1);
    it.stop(*stuck);  // does not wait
    EXPECT_TRUE(it.join().abandoned.empty());

    goes_on.set_value();
    has_left.get_future().wait();
    EXPECT_EQ(stuck->count(), 1);
    EXPECT_EQ(stuck->ends_seen(), 1);
}

}  // namespace
