// An interpreter that gilwatch watches: the canary's deadlock is reported, and nothing is left
// behind.
//
// Each case is a process of its own, which an alarm ends if it hangs.
#include <handoff/gil.hpp>
#include <handoff/gilwatch.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python/exec.hpp>
#include <boost/python/import.hpp>
#include <boost/python/make_function.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <limits>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using handoff::interpreter;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Long enough for a report, and short enough to wait for on purpose.
constexpr unsigned deadlock_lasts = 4;  // seconds, as alarm() takes them
constexpr auto patience = 300ms;

/// Named, as it is to be found in the stack of the one that waits.
[[gnu::noinline]] void worker_that_wants_the_gil(std::latch& about_to_acquire) {
    pthread_setname_np(pthread_self(), "a-worker");
    about_to_acquire.count_down();
    handoff::gil_acquire gil;
}

/// And in the stack of the one that holds.
[[gnu::noinline]] void join_with_the_gil_held() {
    std::latch about_to_acquire(1);
    std::thread worker(&worker_that_wants_the_gil, std::ref(about_to_acquire));
    about_to_acquire.wait();
    worker.join();
}

/// The canary, called by a script.
[[noreturn]] void deadlock() {
    alarm(deadlock_lasts);
    interpreter python({.watchdog = patience});
    python.start();
    python.invoke([] {
        boost::python::import("__main__").attr("join") =
            boost::python::make_function(&join_with_the_gil_held);
    });
    python.run_string("def stop():\n    join()\nstop()", "canary.py");
    std::exit(EXIT_FAILURE);
}

TEST(WatchedInterpreterDeathTest, ReportsTheCanarysDeadlock) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        deadlock(), testing::KilledBySignal(SIGALRM),
        AllOf(ContainsRegex(
                  "gilwatch: the main thread holds the GIL and waits for the end of a thread in "
                  "[^\n]*std::thread::join\\(\\), called by "
                  "[^\n]*join_with_the_gil_held\\(\\)[^\n]*; "
                  "1 thread waits for it, 0\\.[3-9][^\n]* s: thread 'a-worker' in "
                  "[^\n]*worker_that_wants_the_gil\\(std::latch&\\)"),
              HasSubstr("  File \"canary.py\", line 2 in stop\n"
                        "  File \"canary.py\", line 3 in <module>\n"),
              HasSubstr("gil_release")));
}

/// stop() waits for a call that sleeps; another thread asks for a report.
[[noreturn, gnu::noinline]] void stop_beside_a_call() {
    alarm(deadlock_lasts);
    setenv("HANDOFF_WATCHDOG", ("60,signal=" + std::to_string(SIGUSR1)).c_str(), 1);
    interpreter python({.stop_grace = 60s});
    python.start();
    std::latch is_called(1);
    std::thread const caller([&] {
        python.invoke([&] {
            is_called.count_down();
            boost::python::exec("import time\ntime.sleep(60)",
                                boost::python::import("__main__").attr("__dict__"));
        });
    });
    is_called.wait();
    std::thread const asking([] {
        // Until both are there, the report says otherwise, and another one follows.
        for (;;) {
            kill(getpid(), SIGUSR1);
            std::this_thread::sleep_for(200ms);
        }
    });
    python.stop();
    std::exit(EXIT_FAILURE);
}

TEST(WatchedInterpreterDeathTest, SaysForWhomItsStopWaits) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        stop_beside_a_call(), testing::KilledBySignal(SIGALRM),
        ContainsRegex("nobody holds the GIL; the main thread stops the interpreter, and waits for "
                      "calls in [^\n]*stop_beside_a_call\\(\\)[^\n]*; thread [0-9]+ sleeps in "
                      "<string>:2"));
}

/// Whether the kernel has begun to end that thread: pthread_join() returns before it is no longer
/// listed (PF_EXITING in the ninth field of /proc/…/stat, proc_pid_stat(5)).
bool is_ending(std::filesystem::path const& thread) {
    std::string text;
    std::getline(std::ifstream(thread / "stat"), text);
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int field = 3; field < 9; ++field) {
        fields >> skipped;
    }
    unsigned flags = 0;
    constexpr unsigned exiting = 0x4;
    return !(fields >> flags) || (flags & exiting) != 0;
}

/// How many threads of this process are gilwatch's.
int watching_threads() {
    int count = 0;
    for (auto const& each : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(each.path() / "comm"), name);
        count += name == "gilwatch" && !is_ending(each.path()) ? 1 : 0;
    }
    return count;
}

/// The signals that somebody handles.
std::vector<int> handled_signals() {
    std::vector<int> handled;
    for (int number = 1; number <= SIGRTMAX; ++number) {
        struct sigaction used{};
        if (sigaction(number, nullptr, &used) == 0 && used.sa_handler != SIG_DFL) {
            handled.push_back(number);
        }
    }
    return handled;
}

TEST(WatchedInterpreter, LeavesNoThreadAndNoSignalBehind) {
    auto const before = handled_signals();
    interpreter python({.watchdog = patience});
    python.start();
    EXPECT_EQ(watching_threads(), 1);
    EXPECT_NE(handled_signals(), before);
    python.stop();
    EXPECT_EQ(watching_threads(), 0);
    EXPECT_EQ(handled_signals(), before);
}

TEST(WatchedInterpreter, IsOffUnlessAskedFor) {
    auto const before = handled_signals();
    interpreter python;
    python.start();
    EXPECT_EQ(watching_threads(), 0);
    EXPECT_EQ(handled_signals(), before);
}

TEST(WatchedInterpreter, StopsAndStartsAgain) {
    interpreter python({.watchdog = patience});
    python.start();
    python.invoke([] {
        handoff::gilwatch::stop();
        EXPECT_EQ(watching_threads(), 0);
        handoff::gilwatch::stop();
        handoff::gilwatch::start({.after = patience});
        handoff::gilwatch::start({.after = 2 * patience});
        EXPECT_EQ(watching_threads(), 1);
    });
}

TEST(WatchedInterpreter, IsAskedForByTheEnvironment) {
    setenv("HANDOFF_WATCHDOG", "5", 1);
    interpreter python;
    python.start();
    EXPECT_EQ(watching_threads(), 1);
}

TEST(WatchedInterpreter, IgnoresTheEnvironmentWhenIsolated) {
    setenv("HANDOFF_WATCHDOG", "wrong", 1);
    interpreter python({.isolated = true});
    python.start();
    EXPECT_EQ(watching_threads(), 0);
}

TEST(WatchedInterpreter, PrefersTheOptionToTheEnvironment) {
    setenv("HANDOFF_WATCHDOG", "wrong", 1);
    interpreter python({.watchdog = 5s});
    python.start();
    EXPECT_EQ(watching_threads(), 1);
}

TEST(WatchedInterpreter, RefusesAnEnvironmentThatIsNoNumber) {
    setenv("HANDOFF_WATCHDOG", "soon", 1);
    interpreter python;
    EXPECT_THAT([&] { python.start(); }, ThrowsMessage<std::runtime_error>(AllOf(
                                             HasSubstr("cannot start Python: HANDOFF_WATCHDOG: "),
                                             HasSubstr("not 'soon'"))));
    EXPECT_FALSE(python.running());
}

class WatchedInterpreterOption : public testing::TestWithParam<double> {};

TEST_P(WatchedInterpreterOption, IsRefused) {
    interpreter python({.watchdog = std::chrono::duration<double>(GetParam())});
    EXPECT_THAT([&] { python.start(); }, ThrowsMessage<std::runtime_error>(HasSubstr(
                                             "must be a positive, finite number of seconds")));
    EXPECT_FALSE(python.running());
}

INSTANTIATE_TEST_SUITE_P(Unfit, WatchedInterpreterOption,
                         testing::Values(0.0, -1.0, std::numeric_limits<double>::infinity(),
                                         std::numeric_limits<double>::quiet_NaN()));

TEST(WatchedInterpreter, TakesAPatienceLongerThanAnyProgram) {
    interpreter python({.watchdog = std::chrono::duration<double>(1e300)});
    python.start();
    EXPECT_EQ(watching_threads(), 1);
    python.stop();
}

}  // namespace
