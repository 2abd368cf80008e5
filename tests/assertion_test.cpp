// What a debug build refuses: to wait for the GIL with a mutex of ours, or for others with the GIL.
//
// Built with assertions in every configuration, as is the scheduler here.
#include "task.hpp"
#include <handoff/gil.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

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

TEST_F(AssertionDeathTest, OwningReferencesWithoutTheGil) {
    struct nothing {};
    EXPECT_EXIT(std::thread([] { handoff::gil_owned<nothing> const owned{nothing()}; }).join(),
                KilledBySignal(SIGABRT),
                AllOf(HasSubstr("What it does: making a gil_owned of references"),
                      HasSubstr("What to do: acquire the GIL first")));
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

/// Makes a guard on a thread, which then waits, and destroys it on another one.
/// Named, so that it is to be found in the stack.
template <class Guard, class... Arguments>
[[gnu::noinline]] void destroy_elsewhere(Arguments... arguments) {
    std::optional<Guard> guard;
    std::latch made(1);
    std::latch destroyed(1);
    std::thread maker([&] {
        guard.emplace(arguments...);
        made.count_down();
        destroyed.wait();
    });
    made.wait();
    guard.reset();
    destroyed.count_down();
    maker.join();
}

auto says_that_it_was_made_elsewhere(std::string const& guard) {
    return AllOf(HasSubstr("What it does: destroying a " + guard +
                           " on another thread than the one that made it"),
                 HasSubstr("let its scope end on the thread where it began"),
                 HasSubstr("destroy_elsewhere<"));
}

TEST_F(AssertionDeathTest, DestroyingAnAcquireOnAnotherThread) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_acquire>(), KilledBySignal(SIGABRT),
                says_that_it_was_made_elsewhere("gil_acquire"));
}

TEST_F(AssertionDeathTest, DestroyingAReleaseOnAnotherThread) {
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_release>(), KilledBySignal(SIGABRT),
                says_that_it_was_made_elsewhere("gil_release"));
}

TEST_F(AssertionDeathTest, DestroyingAnAttachmentOnAnotherThread) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_attachment>(), KilledBySignal(SIGABRT),
                says_that_it_was_made_elsewhere("gil_attachment"));
}

TEST_F(AssertionDeathTest, DestroyingATryAcquireOnAnotherThread) {
    ASSERT_TRUE(handoff::gil_gate::open());
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_try_acquire>(), KilledBySignal(SIGABRT),
                says_that_it_was_made_elsewhere("gil_try_acquire"));
}

TEST_F(AssertionDeathTest, DestroyingARegistrationOnAnotherThread) {
    ASSERT_TRUE(handoff::gil_gate::open());
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_registration>("maker"), KilledBySignal(SIGABRT),
                says_that_it_was_made_elsewhere("gil_registration"));
}

TEST_F(AssertionDeathTest, DestroyingALabelOnAnotherThread) {
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_label>("held"), KilledBySignal(SIGABRT),
                says_that_it_was_made_elsewhere("gil_label"));
}

TEST_F(AssertionDeathTest, DestroyingALockOnAnotherThread) {
    std::mutex mutex;
    EXPECT_EXIT(destroy_elsewhere<handoff::gil_lock<std::mutex>>(std::ref(mutex)),
                KilledBySignal(SIGABRT), says_that_it_was_made_elsewhere("gil_lock"));
}

TEST_F(AssertionDeathTest, LockingAMutexAgain) {
    std::mutex mutex;
    std::recursive_mutex other;
    handoff::gil_lock const has_it(other, mutex);
    handoff::gil_lock const in_between(other);
    EXPECT_EXIT(
        [&] {
            handoff::gil_release without;
            handoff::gil_lock const again(mutex);
        }(),
        KilledBySignal(SIGABRT),
        AllOf(HasSubstr("What it does: locking a mutex that it has locked, by gil_lock"),
              HasSubstr("or make it a std::recursive_mutex")));
}

TEST_F(Assertion, ToLockARecursiveMutexAgainIsRight) {
    std::recursive_mutex mutex;
    std::mutex other;
    handoff::gil_lock const has_it(mutex);
    {
        handoff::gil_lock const again(mutex, other);
    }
    handoff::gil_lock const after(other);
    std::thread([] {
        std::mutex of_its_own;
        handoff::gil_lock const on_another_thread(of_its_own);
    }).join();
}

/// It lets go of nothing, but its scope goes on where the GIL is not held.
TEST_F(AssertionDeathTest, DestroyingANestedAcquireOnAnotherThread) {
    EXPECT_EXIT(
        {
            std::optional<handoff::gil_acquire> nested(std::in_place);
            std::thread([&] { nested.reset(); }).join();
        },
        KilledBySignal(SIGABRT),
        HasSubstr("What it does: destroying a gil_acquire on another thread"));
}

TEST_F(AssertionDeathTest, DestroyingAGuardOnAThreadThatIsGivenTheMakersPlace) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(
        {
            std::optional<handoff::gil_attachment> made;
            std::thread([&] { made.emplace(); }).join();
            std::thread([&] { made.reset(); }).join();  // as a rule with the same pthread_t
        },
        KilledBySignal(SIGABRT),
        HasSubstr("What it does: destroying a gil_attachment on another thread"));
}

/// A coroutine that goes on on another thread.
struct resumed_elsewhere {
    std::thread& other;

    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> rest) const {
        std::thread& to = other;  // the rest may end, and this go with it, before it is assigned
        to = std::thread(rest);
    }
    static void await_resume() noexcept {}
};

struct coroutine {
    struct promise_type {
        static coroutine get_return_object() noexcept { return {}; }
        static std::suspend_never initial_suspend() noexcept { return {}; }
        static std::suspend_never final_suspend() noexcept { return {}; }
        static void return_void() noexcept {}
        static void unhandled_exception() noexcept { std::abort(); }
    };
};

// Clang-tidy looks at what the compiler makes of a coroutine, too.
// NOLINTBEGIN(readability-static-accessed-through-instance)
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): joined by its owner
coroutine holds_across_a_suspension(std::thread& other) {
    handoff::gil_acquire gil;
    co_await resumed_elsewhere{other};
}

// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): as above
coroutine holds_before_and_after(std::thread& other) {
    {
        handoff::gil_acquire before;
    }
    co_await resumed_elsewhere{other};
    handoff::gil_acquire after;
}
// NOLINTEND(readability-static-accessed-through-instance)

TEST_F(AssertionDeathTest, HoldingTheGilWhereACoroutineGoesOnOnAnotherThread) {
    handoff::gil_release so_that_it_is_free;
    EXPECT_EXIT(
        {
            std::thread other;
            std::thread([&] { holds_across_a_suspension(other); }).join();
            other.join();
        },
        KilledBySignal(SIGABRT),
        HasSubstr("(in a coroutine: before a co_await that may be resumed elsewhere)"));
}

TEST_F(Assertion, AGuardOnEachSideOfACoroutinesSuspensionIsRight) {
    handoff::gil_release so_that_it_is_free;
    std::thread other;
    std::thread([&] { holds_before_and_after(other); }).join();
    other.join();
}

TEST_F(Assertion, AThreadThatForksIsTheSameInTheChild) {
    pid_t child = -1;
    {
        handoff::gil_label const label("forks");
        handoff::gil_acquire nested;
        child = fork();
    }
    if (child == 0) {
        std::_Exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
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
