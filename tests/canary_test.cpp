// The canary: joining a worker with the GIL held deadlocks, and the tests would see it.
//
// Each case is a process of its own, which an alarm ends if it hangs.
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <optional>
#include <thread>
#include <unistd.h>

namespace {

/// Longer than any handoff, and short enough to wait for on purpose.
constexpr unsigned deadlock_after = 3;  // seconds, as alarm() takes them

enum class join { holding_the_gil, releasing_it_first };

/// What the seed's stop() does: joins, from a thread that holds the GIL, a worker that wants it.
[[noreturn]] void join_a_worker(join how) {
    alarm(deadlock_after);
    handoff::interpreter python;
    python.start();
    {
        handoff::gil_acquire main_holds;
        std::latch about_to_acquire(1);
        std::thread worker([&] {
            about_to_acquire.count_down();
            handoff::gil_acquire gil;
            std::fputs("the worker had the GIL\n", stderr);
        });
        about_to_acquire.wait();
        std::fputs("joining\n", stderr);
        std::optional<handoff::gil_release> while_joining;
        if (how == join::releasing_it_first) {
            while_joining.emplace();
        }
        worker.join();
    }
    std::fputs("joined\n", stderr);
    python.stop();
    std::exit(EXIT_SUCCESS);
}

TEST(CanaryDeathTest, JoiningWithTheGilHeldDeadlocks) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(join_a_worker(join::holding_the_gil), testing::KilledBySignal(SIGALRM),
                "^joining\n$");
}

TEST(CanaryDeathTest, JoiningWithTheGilReleasedDoesNot) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(join_a_worker(join::releasing_it_first), testing::ExitedWithCode(EXIT_SUCCESS),
                "joining\nthe worker had the GIL\njoined\n");
}

}  // namespace
