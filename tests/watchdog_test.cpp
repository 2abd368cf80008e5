// The watchdog, seen from C++: it reports the canary's deadlock, and leaves nothing behind.
//
// Each case is a process of its own, which an alarm ends if it hangs.
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>
#include <handoff/watchdog.hpp>

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

TEST(WatchdogDeathTest, ReportsTheCanarysDeadlock) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        deadlock(), testing::KilledBySignal(SIGALRM),
        AllOf(HasSubstr("handoff watchdog: a thread has waited 0.3"),
              ContainsRegex("Waits for the GIL, for 0\\.[34][^\n]*thread \"a-worker\", tid"
                            "[^\n]*\n(  #[^\n]*\n)*"
                            "  #[0-9]+  PyEval_RestoreThread[^\n]*\n(  #[^\n]*\n)*"
                            "  #[0-9]+  [^\n]*worker_that_wants_the_gil\\(std::latch&\\)  in "),
              ContainsRegex("Holds the GIL: thread \"watchdog_test\", tid [0-9]+, the main thread"
                            "[^\n]*\n(  #[^\n]*\n)*"
                            "  #[0-9]+  [^\n]*join[^\n]*\n(  #[^\n]*\n)*"
                            "  #[0-9]+  [^\n]*join_with_the_gil_held\\(\\)  in "),
              HasSubstr("  File \"canary.py\", line 2 in stop\n"
                        "  File \"canary.py\", line 3 in <module>\n"),
              HasSubstr("gil_release")));
}

/// How many threads of this process are the watchdog's.
int watching_threads() {
    int count = 0;
    for (auto const& each : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(each.path() / "comm"), name);
        count += name == "handoff-watch" || name == "handoff-probe" ? 1 : 0;
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

TEST(Watchdog, LeavesNoThreadAndNoSignalBehind) {
    auto const before = handled_signals();
    interpreter python({.watchdog = patience});
    python.start();
    EXPECT_EQ(watching_threads(), 2);
    EXPECT_NE(handled_signals(), before);
    python.stop();
    EXPECT_EQ(watching_threads(), 0);
    EXPECT_EQ(handled_signals(), before);
    EXPECT_FALSE(handoff::detail::gil_wait::watched);
    EXPECT_THAT(handoff::detail::gil_wait::all(), testing::IsEmpty());
}

/// Whether the thread that asks for the GIL ends, within a while.
bool probe_ends() {
    auto const deadline = std::chrono::steady_clock::now() + 20s;
    while (watching_threads() == 2 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    return watching_threads() == 1;
}

TEST(Watchdog, AsksForNothingOfAPythonThatEndedWithoutItsAtexitFunctions) {
    interpreter python({.watchdog = patience});
    python.start();
    python.run_string("import atexit; atexit._clear()");
    python.stop();
    EXPECT_TRUE(probe_ends());
}

TEST(Watchdog, IsOffUnlessAskedFor) {
    auto const before = handled_signals();
    interpreter python;
    python.start();
    EXPECT_EQ(watching_threads(), 0);
    EXPECT_EQ(handled_signals(), before);
    EXPECT_FALSE(handoff::detail::gil_wait::watched);
}

TEST(Watchdog, StopsAndStartsAgain) {
    interpreter python({.watchdog = patience});
    python.start();
    python.invoke([] {
        handoff::watchdog::stop();
        EXPECT_EQ(watching_threads(), 0);
        handoff::watchdog::stop();
        handoff::watchdog::start(patience);
        EXPECT_EQ(watching_threads(), 2);
        EXPECT_THROW(handoff::watchdog::start(patience), std::logic_error);
    });
}

TEST(Watchdog, IsAskedForByTheEnvironment) {
    setenv("HANDOFF_WATCHDOG", "5", 1);
    interpreter python;
    python.start();
    EXPECT_EQ(watching_threads(), 2);
}

TEST(Watchdog, IgnoresTheEnvironmentWhenIsolated) {
    setenv("HANDOFF_WATCHDOG", "wrong", 1);
    interpreter python({.isolated = true});
    python.start();
    EXPECT_EQ(watching_threads(), 0);
}

TEST(Watchdog, PrefersTheOptionToTheEnvironment) {
    setenv("HANDOFF_WATCHDOG", "wrong", 1);
    interpreter python({.watchdog = 5s});
    python.start();
    EXPECT_EQ(watching_threads(), 2);
}

TEST(Watchdog, RefusesAnEnvironmentThatIsNoNumber) {
    setenv("HANDOFF_WATCHDOG", "soon", 1);
    interpreter python;
    EXPECT_THAT([&] { python.start(); },
                ThrowsMessage<std::runtime_error>(
                    AllOf(HasSubstr("cannot start Python: HANDOFF_WATCHDOG=soon"),
                          HasSubstr("positive, finite number of seconds"))));
    EXPECT_FALSE(python.running());
}

class WatchdogOption : public testing::TestWithParam<double> {};

TEST_P(WatchdogOption, IsRefused) {
    interpreter python({.watchdog = std::chrono::duration<double>(GetParam())});
    EXPECT_THAT([&] { python.start(); }, ThrowsMessage<std::runtime_error>(HasSubstr(
                                             "must be a positive, finite number of seconds")));
    EXPECT_FALSE(python.running());
}

INSTANTIATE_TEST_SUITE_P(Unfit, WatchdogOption,
                         testing::Values(0.0, -1.0, std::numeric_limits<double>::infinity(),
                                         std::numeric_limits<double>::quiet_NaN()));

TEST(Watchdog, TakesAPatienceLongerThanAnyProgram) {
    interpreter python({.watchdog = std::chrono::duration<double>(1e300)});
    python.start();
    EXPECT_EQ(watching_threads(), 2);
    python.stop();
}

}  // namespace
