// Which orders of locks the graph takes for a deadlock. No thread is needed for that.
#include "lock_graph.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace {

using handoff::detail::acting_place;
using handoff::detail::held_lock;
using handoff::detail::lock_cycle;
using handoff::detail::lock_graph;
using handoff::detail::lock_kind;
using handoff::detail::lock_number;
using handoff::detail::lock_seen;
using handoff::detail::number_of_gil;

class LockGraph : public testing::Test {
protected:
    std::unique_ptr<lock_graph> graph = std::make_unique<lock_graph>(16, 16);
    std::unique_ptr<lock_cycle> found = std::make_unique<lock_cycle>();
    int objects[64]{};  // to have addresses

    lock_number make(lock_kind kind = lock_kind::mutex) {
        static int next = 0;
        return graph->add(kind, &objects[next++ % 64], [](lock_number) { return false; });
    }

    static held_lock exclusively(lock_number lock) { return {.lock = lock, .depth = 1}; }
    static held_lock shared(lock_number lock) {
        return {.lock = lock, .depth = 1, .is_shared = true};
    }

    /// Whether that makes a cycle.
    [[nodiscard]] bool wants(std::uint32_t thread, lock_number lock,
                             std::vector<held_lock> const& held, bool is_shared = false) const {
        acting_place const place;
        return graph->add({.thread = thread,
                           .lock = lock,
                           .is_shared = is_shared,
                           .predicted = false,
                           .held = held},
                          &place, *found);
    }
};

TEST_F(LockGraph, FindsTwoOrdersOfTwoThreads) {
    lock_number const a = make();
    EXPECT_FALSE(wants(1, a, {exclusively(number_of_gil)}));
    EXPECT_TRUE(wants(2, number_of_gil, {exclusively(a)}));
    EXPECT_EQ(found->count, 2);
    EXPECT_EQ(found->locks[0].number, number_of_gil);
    EXPECT_EQ(found->locks[1].number, a);
}

TEST_F(LockGraph, FindsTheShortestCycleThroughThreeLocks) {
    lock_number const a = make();
    lock_number const b = make();
    lock_number const c = make();
    EXPECT_FALSE(wants(1, b, {exclusively(a)}));
    EXPECT_FALSE(wants(2, c, {exclusively(b)}));
    EXPECT_TRUE(wants(3, a, {exclusively(c)}));
    EXPECT_EQ(found->count, 3);
    EXPECT_TRUE(wants(4, a, {exclusively(b)}));
    EXPECT_EQ(found->count, 2);
}

TEST_F(LockGraph, FindsACycleThroughTheGilThatAnotherOrderCloses) {
    lock_number const a = make();
    lock_number const b = make();
    EXPECT_FALSE(wants(1, a, {exclusively(number_of_gil)}));
    EXPECT_FALSE(wants(2, number_of_gil, {exclusively(b)}));
    EXPECT_TRUE(wants(3, b, {exclusively(a)}));
    EXPECT_EQ(found->count, 3);
}

TEST_F(LockGraph, TakesNoOrdersOfOneThreadForADeadlock) {
    lock_number const a = make();
    lock_number const b = make();
    EXPECT_FALSE(wants(1, b, {exclusively(a)}));
    EXPECT_FALSE(wants(1, a, {exclusively(b)}));
    EXPECT_TRUE(wants(2, a, {exclusively(b)}));  // until another thread has one of them
}

TEST_F(LockGraph, TakesOneThreadsWordForWhatIsInitialisedOnce) {
    lock_number const guard = make(lock_kind::static_guard);
    EXPECT_FALSE(wants(1, guard, {exclusively(number_of_gil)}));
    EXPECT_TRUE(wants(1, number_of_gil, {exclusively(guard)}));
}

TEST_F(LockGraph, TakesALockThatBothHoldForAGate) {
    lock_number const a = make();
    lock_number const b = make();
    lock_number const gate = make();
    EXPECT_FALSE(wants(1, b, {exclusively(gate), exclusively(a)}));
    EXPECT_FALSE(wants(2, a, {exclusively(gate), exclusively(b)}));
    EXPECT_TRUE(wants(2, a, {exclusively(b)}));  // until it was not held
}

TEST_F(LockGraph, TakesTheGilForAGate) {
    lock_number const a = make();
    lock_number const b = make();
    EXPECT_FALSE(wants(1, b, {exclusively(number_of_gil), exclusively(a)}));
    EXPECT_FALSE(wants(2, a, {exclusively(b), exclusively(number_of_gil)}));
}

TEST_F(LockGraph, TakesNoReadersForAGate) {
    lock_number const a = make();
    lock_number const b = make();
    lock_number const gate = make(lock_kind::shared_mutex);
    EXPECT_FALSE(wants(1, b, {shared(gate), exclusively(a)}));
    EXPECT_TRUE(wants(2, a, {shared(gate), exclusively(b)}));
}

TEST_F(LockGraph, TakesAReaderAndAWriterForAGate) {
    lock_number const a = make();
    lock_number const b = make();
    lock_number const gate = make(lock_kind::shared_mutex);
    EXPECT_FALSE(wants(1, b, {shared(gate), exclusively(a)}));
    EXPECT_FALSE(wants(2, a, {exclusively(gate), exclusively(b)}));
    EXPECT_TRUE(wants(3, a, {shared(gate), exclusively(b)}));  // until both are readers
}

TEST_F(LockGraph, LetsReadersPassEachOther) {
    lock_number const table = make(lock_kind::shared_mutex);
    EXPECT_FALSE(wants(1, table, {exclusively(number_of_gil)}, true));
    EXPECT_FALSE(wants(2, number_of_gil, {shared(table)}));
    EXPECT_TRUE(wants(3, number_of_gil, {exclusively(table)}));  // but no writer
}

TEST_F(LockGraph, TakesASemaphoreForALockOnlyWhereItsTakerGivesItBack) {
    lock_number const semaphore = make(lock_kind::semaphore);
    EXPECT_FALSE(wants(1, semaphore, {exclusively(number_of_gil)}));
    EXPECT_FALSE(wants(2, number_of_gil, {exclusively(semaphore)}));
    graph->is_paired(semaphore);
    EXPECT_TRUE(wants(3, number_of_gil, {exclusively(semaphore)}));
    graph->ignore(semaphore);
    EXPECT_FALSE(wants(4, semaphore, {exclusively(number_of_gil)}));
}

TEST_F(LockGraph, ForgetsTheOrdersOfALockThatIsNoMore) {
    lock_number const a = make();
    EXPECT_FALSE(wants(1, a, {exclusively(number_of_gil)}));
    graph->remove(a);
    EXPECT_FALSE(wants(2, number_of_gil, {exclusively(a)}));
}

TEST_F(LockGraph, GivesUpTheOldestOrdersAndSaysSo) {
    lock_number const first = make();
    EXPECT_FALSE(wants(1, first, {exclusively(number_of_gil)}));
    std::vector<lock_number> const others{make(), make(), make(), make(), make()};
    auto const epoch = graph->epoch();
    for (lock_number const from : others) {
        for (lock_number const to : others) {
            if (from < to) {
                EXPECT_FALSE(wants(1, to, {exclusively(from)}));
            }
        }
    }
    for (lock_number const to : others) {
        EXPECT_FALSE(wants(1, to, {exclusively(first)}));
        EXPECT_FALSE(wants(1, to, {exclusively(number_of_gil)}));
    }
    EXPECT_NE(graph->epoch(), epoch);
    EXPECT_TRUE(graph->given_up().edges);
}

TEST_F(LockGraph, GivesTheNumberOfALockThatNobodyHoldsToAnother) {
    std::vector<lock_number> numbers;
    for (int each = 0; each < 14; ++each) {
        numbers.push_back(make());
        EXPECT_NE(numbers.back(), 0);
    }
    lock_number const again = make();
    EXPECT_EQ(again, numbers.front());
    EXPECT_TRUE(graph->given_up().locks);
    EXPECT_EQ(graph->add(lock_kind::mutex, this, [](lock_number) { return true; }), 0);
}

TEST_F(LockGraph, LosesNothingOfALockThatIsGone) {
    graph = std::make_unique<lock_graph>(4, 16, [](lock_seen const&) { return false; });
    for (int each = 0; each < 4; ++each) {
        EXPECT_NE(make(), 0);
    }
    EXPECT_FALSE(graph->given_up().locks);
}

}  // namespace
