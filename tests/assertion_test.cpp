// What a debug build refuses: to wait for the GIL with a mutex of ours, or for others with the GIL.
//
// Built with assertions in every configuration, as is the scheduler here.
#include "task.hpp"
#include <handoff/gil.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#ifdef NDEBUG
#error "this test is about assertions"
#endif

namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::KilledBySignal;

constexpr std::chrono::seconds long_enough{20 * HANDOFF_PATIENCE};

/// Python without Handoff's interpreter; the GIL is held by the test.
class Assertion : public testing::Test {
protected:
    void SetUp() override { Py_Initialize(); }
    void TearDown() override { Py_FinalizeEx(); }
};

class AssertionDeathTest : public Assertion {
protected:
    void SetUp() override {
        GTEST_FLAG_SET(death_test_style, "threadsafe");
        Assertion::SetUp();
    }
};

auto says_that_a_mutex_is_held() {
    return AllOf(HasSubstr("handoff: a rule of the GIL's is broken by thread \"assertion_test\""),
                 HasSubstr("What it does: waiting for the GIL while it holds a handoff::mutex"),
                 HasSubstr("What to do: copy what you need under the mutex, unlock it"));
}

/// Named, so that it is to be found in the stack.
[[gnu::noinline]] void lock_and_then_acquire() {
    handoff::mutex mutex;
    std::scoped_lock held(mutex);
    handoff::gil_acquire too_late;
}

TEST_F(AssertionDeathTest, AcquiringWithAMutexHeld) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(lock_and_then_acquire(), KilledBySignal(SIGABRT),
                AllOf(says_that_a_mutex_is_held(), HasSubstr("lock_and_then_acquire()")));
}

TEST_F(AssertionDeathTest, AcquiringOnANativeThreadWithAMutexHeld) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(std::thread(&lock_and_then_acquire).join(), KilledBySignal(SIGABRT),
                says_that_a_mutex_is_held());
}

TEST_F(AssertionDeathTest, RetakingAtTheEndOfAReleaseWithAMutexHeld) {
    EXPECT_EXIT(
        {
            handoff::mutex mutex;
            std::unique_lock held(mutex, std::defer_lock);
            handoff::gil_release while_locking;
            held.lock();
        },
        KilledBySignal(SIGABRT), says_that_a_mutex_is_held());
}

TEST_F(AssertionDeathTest, DetachingWithAMutexHeld) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(std::thread([] {
                    handoff::mutex mutex;
                    std::unique_lock held(mutex, std::defer_lock);
                    handoff::gil_attachment attached;
                    held.lock();
                }).join(),
                KilledBySignal(SIGABRT), says_that_a_mutex_is_held());
}

TEST_F(Assertion, ToLockWithTheGilHeldIsRight) {
    handoff::mutex mutex;
    std::scoped_lock held(mutex);
    handoff::gil_acquire nothing_to_wait_for;
    EXPECT_TRUE(handoff::gil_held());
}

TEST_F(Assertion, AMutexThatWasUnlockedOrNotLockedDoesNotCount) {
    handoff::mutex mutex;
    mutex.lock();
    std::thread([&] {
        EXPECT_FALSE(mutex.try_lock());
        EXPECT_EQ(handoff::detail::mutexes_held, 0);
    }).join();
    mutex.unlock();
    handoff::gil_release so_that_it_is_free;
    handoff::gil_acquire gil;
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
}

TEST_F(Assertion, AWaitForAConditionCountsAsNeitherLockedNorUnlocked) {
    handoff::mutex mutex;
    handoff::condition_variable changed;
    bool ready = false;
    std::thread other([&] {
        std::scoped_lock held(mutex);
        ready = true;
        changed.notify_all();
    });
    {
        std::unique_lock held(mutex);
        auto const is_ready = [&] { return ready; };
        EXPECT_TRUE(changed.wait_for(held, long_enough, is_ready));
        changed.wait(held, is_ready);
        auto const now = std::chrono::steady_clock::now();
        EXPECT_FALSE(changed.wait_until(held, now, [] { return false; }));
        EXPECT_TRUE(held.owns_lock());
        EXPECT_EQ(handoff::detail::mutexes_held, 1);
    }
    EXPECT_EQ(handoff::detail::mutexes_held, 0);
    other.join();
}

/// A task that nobody starts.
class idle_task : public handoff::scheduler::task {
public:
    idle_task() : task(deliveries::take_no_time) {}

    void begun(handoff::scheduler::time_point /*now*/) noexcept override {}
    delivered deliver(handoff::scheduler::turn& /*now*/) noexcept override { return {}; }
    void ended() noexcept override {}
    void left_behind() noexcept override {}
};

/// Each in a process that ends with it.
void call(std::function<void(handoff::scheduler&, idle_task&)> const& member) {
    handoff::scheduler it({.held_by_caller = &handoff::gil_held});
    auto const task = boost::intrusive_ptr(new idle_task);
    member(it, *task);
}

auto says_that_the_gil_is_held(std::string const& operation) {
    return AllOf(HasSubstr("What it does: " + operation),
                 HasSubstr("it may wait for a thread that waits for the GIL"),
                 HasSubstr("What to do: release the GIL first"), HasSubstr("call(std::function<"));
}

TEST_F(AssertionDeathTest, StartingATaskWithTheGilHeld) {
    EXPECT_EXIT(call([](auto& it, auto& task) { it.start(task); }), KilledBySignal(SIGABRT),
                says_that_the_gil_is_held("scheduler::get_ready()"));
}

TEST_F(AssertionDeathTest, StoppingATaskWithTheGilHeld) {
    EXPECT_EXIT(call([](auto& it, auto& task) { it.stop(task); }), KilledBySignal(SIGABRT),
                says_that_the_gil_is_held("scheduler::stop()"));
}

TEST_F(AssertionDeathTest, AwaitingTheEndWithTheGilHeld) {
    EXPECT_EXIT(call([](auto& it, auto&) { it.await_close(long_enough); }), KilledBySignal(SIGABRT),
                says_that_the_gil_is_held("scheduler::await_close()"));
}

TEST_F(AssertionDeathTest, JoiningWithTheGilHeld) {
    EXPECT_EXIT(call([](auto& it, auto&) { it.join(); }), KilledBySignal(SIGABRT),
                says_that_the_gil_is_held("scheduler::join()"));
}

TEST_F(Assertion, StoppingWithTheGilReleasedIsRight) {
    handoff::gil_release while_stopping;
    call([](auto& it, auto& task) {
        it.start(task);
        it.stop(task);
    });
}

}  // namespace
