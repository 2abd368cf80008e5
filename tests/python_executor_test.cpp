// python_executor: what Asio asks of an executor, and what Python does: one hold, errors, the end.
#include "embedded_python.hpp"
#include <handoff/asio/python_executor.hpp>
#include <handoff/gil.hpp>
#include <handoff/python_error.hpp>

#include <boost/python.hpp>

#include <boost/asio.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace execution = asio::execution;
namespace py = boost::python;

using handoff::gil_acquire;
using handoff::gil_held;
using handoff::gil_release;
using handoff::python_executor;
using testing::ElementsAre;
using testing::HasSubstr;

static_assert(execution::is_executor<python_executor>::value);
static_assert(std::is_nothrow_copy_constructible_v<python_executor>);
static_assert(std::is_nothrow_move_constructible_v<python_executor>);
static_assert(asio::can_require<python_executor, execution::blocking_t::never_t>::value);
static_assert(asio::can_require<python_executor, execution::blocking_t::possibly_t>::value);
static_assert(!asio::can_require<python_executor, execution::blocking_t::always_t>::value);
static_assert(asio::can_require<python_executor, execution::relationship_t::fork_t>::value);
static_assert(asio::can_prefer<python_executor, execution::relationship_t::continuation_t>::value);
static_assert(asio::can_require<python_executor, execution::outstanding_work_t::tracked_t>::value);
static_assert(
    asio::can_require<python_executor, execution::outstanding_work_t::untracked_t>::value);
static_assert(
    asio::can_require<python_executor, execution::allocator_t<std::allocator<int>>>::value);
static_assert(asio::can_query<python_executor, execution::context_t>::value);
static_assert(asio::can_query<python_executor, execution::mapping_t>::value);
static_assert(std::is_constructible_v<asio::any_io_executor, python_executor>);

/// Runs what a test has posted to an io_context, on this thread, without the GIL.
struct loop {
    asio::io_context io;
    python_executor python{io};

    void run() {
        io.restart();
        io.run();
    }
};

/// What sys.unraisablehook gets while it lives, as texts.
class unraisable {
public:
    unraisable() {
        gil_acquire const gil;
        py::dict names;
        py::exec(
            "import sys\nseen = []\n"
            "sys.unraisablehook = lambda told: seen.append(repr(told.exc_value))",
            names);
        seen_.emplace(names["seen"]);
    }
    ~unraisable() {
        gil_acquire const gil;
        py::exec("import sys\nsys.unraisablehook = sys.__unraisablehook__", py::dict());
        seen_.reset();
    }
    unraisable(unraisable const&) = delete;
    unraisable& operator=(unraisable const&) = delete;

    [[nodiscard]] std::vector<std::string> texts() const {
        gil_acquire const gil;
        // NOLINTNEXTLINE(bugprone-unchecked-optional-access): it is there until the destructor
        py::stl_input_iterator<std::string> const first(*seen_);
        return {first, py::stl_input_iterator<std::string>()};
    }

private:
    std::optional<py::object> seen_;
};

TEST(PythonExecutor, ItsPropertiesAreWhatWasRequired) {
    loop own;
    auto const& python = own.python;
    EXPECT_EQ(&asio::query(python, execution::context), &own.io);
    // NOLINTBEGIN(readability-static-accessed-through-instance): as Asio's documentation has them
    EXPECT_EQ(asio::query(python, execution::blocking), execution::blocking.possibly);
    EXPECT_EQ(asio::query(python, execution::mapping), execution::mapping.thread);
    auto const never = asio::require(python, execution::blocking.never);
    EXPECT_EQ(asio::query(never, execution::blocking), execution::blocking.never);
    EXPECT_NE(never, python);
    EXPECT_EQ(asio::require(never, execution::blocking.possibly), python);
    auto const continued = asio::prefer(python, execution::relationship.continuation);
    EXPECT_EQ(asio::query(continued, execution::relationship),
              execution::relationship.continuation);
    auto const tracked = asio::require(python, execution::outstanding_work.tracked);
    EXPECT_EQ(asio::query(tracked, execution::outstanding_work),
              execution::outstanding_work.tracked);
    // NOLINTEND(readability-static-accessed-through-instance)
    EXPECT_NE(python, python_executor(own.io));
}

TEST(PythonExecutor, HandlersHoldTheGilThatTheThreadDoesNotHave) {
    loop own;
    std::vector<bool> held;
    asio::post(own.python, [&] { held.push_back(gil_held()); });
    asio::defer(own.python, [&] { held.push_back(gil_held()); });
    asio::dispatch(own.python, [&] { held.push_back(gil_held()); });
    asio::steady_timer timer(own.io, std::chrono::milliseconds(1));
    timer.async_wait(asio::bind_executor(own.python, [&](boost::system::error_code const& error) {
        held.push_back(gil_held() && !error);
    }));
    EXPECT_THAT(held, ElementsAre());
    own.run();
    EXPECT_THAT(held, ElementsAre(true, true, true, true));
    EXPECT_FALSE(gil_held());
}

TEST(PythonExecutor, WhatIsReadyIsRunInOneHold) {
    loop own;
    constexpr std::size_t many = 1000;
    std::size_t ran = 0;
    for (std::size_t i = 0; i < many; ++i) {
        asio::post(own.python, [&] { ++ran; });
    }
    own.run();
    EXPECT_EQ(ran, many);
    auto const counts = own.python.counts();
    EXPECT_EQ(counts.run, many);
    EXPECT_EQ(counts.dropped, 0U);
    // A hold ends after a millisecond, and such a handler takes less than a tenth of that.
    EXPECT_LT(counts.turns, many / 10);
}

TEST(PythonExecutor, AHoldIsLeftAfterAMillisecond) {
    loop own;
    auto const longest = handoff::detail::python_turns::longest_turn;
    for (int i = 0; i < 3; ++i) {
        asio::post(own.python, [longest] {
            auto const end = std::chrono::steady_clock::now() + longest;
            while (std::chrono::steady_clock::now() < end) {
            }
        });
    }
    own.run();
    EXPECT_EQ(own.python.counts().turns, 3U);
}

TEST(PythonExecutor, HandlersOfOneThreadRunInOrder) {
    loop own;
    std::vector<int> order;
    for (int i = 0; i < 3; ++i) {
        asio::post(own.python, [&, i] {
            order.push_back(i);
            asio::post(own.python, [&, i] { order.push_back(i + 3); });
        });
    }
    own.run();
    EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(PythonExecutor, DispatchWithinAHandlerRunsAtOnce) {
    loop own;
    std::vector<std::string> order;
    asio::post(own.python, [&] {
        EXPECT_TRUE(own.python.running_in_this_thread());
        asio::dispatch(own.python, [&] { order.emplace_back("dispatched"); });
        asio::post(own.python, [&] { order.emplace_back("posted"); });
        {
            gil_release const meanwhile;
            EXPECT_FALSE(own.python.running_in_this_thread());
            asio::dispatch(own.python, [&] {
                EXPECT_TRUE(gil_held());
                order.emplace_back("dispatched without the GIL");
            });
        }
        asio::dispatch(python_executor(own.io), [&] { order.emplace_back("of another"); });
        order.emplace_back("end");
    });
    own.run();
    EXPECT_FALSE(own.python.running_in_this_thread());
    ASSERT_THAT(order, testing::SizeIs(5));
    order.erase(std::ranges::find(order, "of another"));
    EXPECT_THAT(order, ElementsAre("dispatched", "end", "posted", "dispatched without the GIL"));
}

TEST(PythonExecutor, AStrandOverItKeepsTheOrderOnManyThreads) {
    asio::thread_pool pool(4);
    python_executor const python(pool);
    auto const strand = asio::make_strand(python);
    constexpr int many = 10'000;
    std::vector<int> order;
    for (int i = 0; i < many; ++i) {
        asio::post(strand, [&, i] {
            EXPECT_TRUE(gil_held());
            order.push_back(i);
        });
    }
    pool.join();
    ASSERT_THAT(order, testing::SizeIs(many));
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(PythonExecutor, OfFourThreadsNoHandlerIsLost) {
    asio::thread_pool pool(4);
    python_executor const python(pool);
    constexpr std::size_t each = 10'000;
    std::atomic<std::size_t> ran = 0;  // guarded by the GIL where there is one
    std::vector<std::thread> posting;
    posting.reserve(4);
    for (int i = 0; i < 4; ++i) {
        posting.emplace_back([&] {
            for (std::size_t n = 0; n < each; ++n) {
                asio::post(python, [&] { ++ran; });
            }
        });
    }
    for (auto& thread : posting) {
        thread.join();
    }
    pool.join();
    EXPECT_EQ(ran, 4 * each);
    EXPECT_EQ(python.counts().run, 4 * each);
    EXPECT_LT(python.counts().turns, each);
}

TEST(PythonExecutor, AHandlerThatWaitsForAnotherDoesNotHoldItUp) {
    asio::thread_pool pool(2);
    python_executor const python(pool);
    std::promise<void> second_ran;
    std::promise<bool> first_saw_it;
    asio::post(pool, [&] {  // both are queued before a turn begins
        asio::post(python, [&] {
            gil_release const while_waiting;
            first_saw_it.set_value(arrives(second_ran.get_future()));
        });
        asio::post(python, [&] { second_ran.set_value(); });
    });
    EXPECT_TRUE(first_saw_it.get_future().get());
    pool.join();
}

TEST(PythonExecutor, OthersGoOnInOrderWhileAHandlerWaitsAndWhatIsNewComesLast) {
    asio::thread_pool pool(2);
    python_executor const python(pool);
    std::promise<void> all_ran;
    std::vector<int> order;
    asio::post(pool, [&] {  // all are queued before a turn begins
        asio::post(python, [&] {
            asio::post(python, [&] { all_ran.set_value(); });
            gil_release const while_waiting;
            EXPECT_TRUE(arrives(all_ran.get_future()));
        });
        for (int i = 0; i < 100; ++i) {
            asio::post(python, [&, i] { order.push_back(i); });
        }
    });
    pool.join();
    ASSERT_THAT(order, testing::SizeIs(100));
    EXPECT_TRUE(std::ranges::is_sorted(order));
    EXPECT_EQ(python.counts().run, 102U);
}

TEST(PythonExecutor, WhatAFullTurnLeavesKeepsItsPlace) {
    loop own;
    std::vector<int> order;
    auto const longest = handoff::detail::python_turns::longest_turn;
    for (int i = 0; i < 5; ++i) {
        asio::post(own.python, [&, i, longest] {
            asio::post(own.python, [&, i] { order.push_back(i + 5); });
            order.push_back(i);
            auto const end = std::chrono::steady_clock::now() + longest;
            while (std::chrono::steady_clock::now() < end) {
            }
        });
    }
    own.run();
    EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(PythonExecutor, ErrorsGoWhereTheUserSays) {
    asio::io_context io;
    std::vector<std::string> told;
    python_executor const python(io, [&](std::exception_ptr const& error) {
        EXPECT_TRUE(gil_held());
        try {
            std::rethrow_exception(error);
        } catch (handoff::python_error const& raised) {
            told.push_back(raised.type() + ": " + raised.message());
        } catch (std::exception const& thrown) {
            told.emplace_back(thrown.what());
        }
    });
    asio::post(python, [] { throw std::runtime_error("C++"); });
    asio::post(python, [] { py::import("math").attr("sqrt")(-1); });
    asio::post(python, [] { PyErr_SetString(PyExc_KeyError, "left"); });
    asio::post(python, [&] {
        asio::dispatch(python, [] { throw std::runtime_error("within"); });
        told.emplace_back("goes on");
    });
    io.run();
    EXPECT_THAT(told, ElementsAre("C++", HasSubstr("ValueError: "), "KeyError: 'left'", "within",
                                  "goes on"));
}

TEST(PythonExecutor, OtherErrorsGoToUnraisablehook) {
    unraisable const seen;
    loop own;
    asio::post(own.python, [] { throw std::runtime_error("C++"); });
    asio::post(own.python, [] { throw 1; });
    asio::post(own.python, [] { py::import("math").attr("sqrt")(-1); });
    own.run();
    python_executor const failing(own.io, [](auto const&) { throw std::logic_error("again"); });
    asio::post(failing, [] { throw std::runtime_error("first"); });
    own.run();
    EXPECT_THAT(seen.texts(),
                ElementsAre(HasSubstr("threw: C++"), HasSubstr("not a std::exception"),
                            HasSubstr("ValueError"), HasSubstr("first"), HasSubstr("again")));
}

TEST(PythonExecutor, HandlersOfADestroyedContextAreDroppedAndCounted) {
    std::optional<python_executor> python;
    auto const alive = std::make_shared<int>();
    {
        asio::io_context io;
        python.emplace(io);
        asio::post(*python, [alive, python = *python] {});  // owns its own queue
        asio::post(*python, [alive] {});
    }
    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_EQ(python->counts().dropped, 2U);
}

/// Counts what it has given out.
template <class T>
struct counting_allocator {
    using value_type =
        T;  // NOLINT(readability-identifier-naming): a name of the standard library's

    explicit counting_allocator(int& its_count) noexcept : count(&its_count) {}
    template <class Other>
    // NOLINTNEXTLINE(misc-explicit-constructor): as the standard library wants it
    counting_allocator(counting_allocator<Other> const& other) noexcept : count(other.count) {}

    T* allocate(std::size_t n) {
        ++*count;
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* memory, std::size_t n) noexcept {
        --*count;
        std::allocator<T>().deallocate(memory, n);
    }
    template <class Other>
    bool operator==(counting_allocator<Other> const& other) const noexcept {
        return count == other.count;
    }

    int* count;
};

TEST(PythonExecutor, HandlersMayBeMoveOnly) {
    loop own;
    int ran = 0;
    asio::post(own.python, [&, owned = std::make_unique<int>(1)] { ran += *owned; });
    own.run();
    EXPECT_EQ(ran, 1);
}

TEST(PythonExecutor, MemoryIsOfItsAllocatorAndGivenBackBeforeTheHandlerRuns) {
    loop own;
    int allocated = 0;
    int during = -1;
    auto const python =
        asio::require(own.python, execution::allocator(counting_allocator<void>(allocated)));
    EXPECT_EQ(asio::query(python, execution::allocator).count, &allocated);
    python.execute([&] { during = allocated; });
    EXPECT_EQ(allocated, 1);
    own.run();
    EXPECT_EQ(during, 0);
}

TEST(PythonExecutor, AWorkGuardKeepsTheContextRunning) {
    loop own;
    auto work = std::make_optional(asio::make_work_guard(own.python));
    std::thread running([&] { own.run(); });
    std::promise<void> ran;
    asio::post(own.io, [&] { asio::post(own.python, [&] { ran.set_value(); }); });
    EXPECT_TRUE(arrives(ran.get_future()));
    EXPECT_FALSE(own.io.stopped());
    asio::post(own.python, [&] { work.reset(); });
    running.join();
}

TEST(PythonExecutor, AnyIoExecutorAndIoObjectsTakeIt) {
    loop own;
    asio::any_io_executor const any = own.python;
    asio::steady_timer timer(any, std::chrono::milliseconds(1));
    bool held = false;
    timer.async_wait([&](auto const& /*error*/) { held = gil_held(); });
    own.run();
    EXPECT_TRUE(held);
}

TEST(PythonExecutor, InAForksChildTheQueueIsEmptyAndUsable) {
    loop own;
    int ran = 0;
    asio::post(own.python, [&] { ran += 10; });
    own.io.notify_fork(asio::io_context::fork_prepare);
    pid_t const child = [] {
        gil_acquire const gil;
        PyOS_BeforeFork();
        pid_t const forked = fork();
        forked == 0 ? PyOS_AfterFork_Child() : PyOS_AfterFork_Parent();
        return forked;
    }();
    if (child == 0) {
        own.io.notify_fork(asio::io_context::fork_child);
        asio::post(own.python, [&] { ran += 1; });
        own.run();
        _exit(ran);
    }
    own.io.notify_fork(asio::io_context::fork_parent);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    own.run();
    EXPECT_EQ(ran, 10);
}

TEST(PythonExecutor, AHandlerThatForksLeavesTheOthersToTheParent) {
    loop own;
    int ran = 0;
    pid_t child = -1;
    asio::post(own.python, [&] {
        own.io.notify_fork(asio::io_context::fork_prepare);
        PyOS_BeforeFork();
        child = fork();
        child == 0 ? PyOS_AfterFork_Child() : PyOS_AfterFork_Parent();
        own.io.notify_fork(child == 0 ? asio::io_context::fork_child
                                      : asio::io_context::fork_parent);
        if (child == 0) {
            asio::post(own.python, [&] { ran += 1; });
        }
    });
    for (int i = 0; i < 10; ++i) {
        asio::post(own.python, [&] { ran += 10; });
    }
    own.run();
    if (child == 0) {
        _exit(ran);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_EQ(ran, 100);
}

TEST(PythonExecutor, AtPythonsEndWhatALongTurnHasTakenIsDropped) {
    asio::thread_pool pool(2);
    python_executor const python(pool);
    std::promise<void> begun;
    std::promise<void> ends;
    auto const alive = std::make_shared<int>();
    std::atomic<std::size_t> ran = 0;
    asio::post(pool, [&] {  // all are queued before a turn begins
        asio::post(python, [&] {
            gil_release const while_waiting;
            begun.set_value();
            EXPECT_TRUE(arrives(ends.get_future()));
        });
        for (int i = 0; i < 1000; ++i) {
            asio::post(python, [&, alive] {
                ++ran;
                auto const end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
                while (std::chrono::steady_clock::now() < end) {
                }
            });
        }
    });
    EXPECT_TRUE(arrives(begun.get_future()));
    ends.set_value();
    embedded_python::python().stop();
    pool.join();
    EXPECT_LT(ran, 100U);
    EXPECT_EQ(python.counts().run + python.counts().dropped, 1001U);
    EXPECT_EQ(alive.use_count(), 1);
}

/// Can be moved into the queue, but not out of it.
class moved_twice {
public:
    explicit moved_twice(std::shared_ptr<int> held) : held_(std::move(held)) {}
    // NOLINTNEXTLINE(performance-noexcept-move-constructor,bugprone-exception-escape)
    moved_twice(moved_twice&& other) : held_(std::move(other.held_)), moves_(other.moves_ + 1) {
        if (moves_ > 1) {
            throw std::runtime_error("moved");
        }
    }
    ~moved_twice() = default;
    moved_twice(moved_twice const&) = delete;
    moved_twice& operator=(moved_twice const&) = delete;
    moved_twice& operator=(moved_twice&&) = delete;

    void operator()() const { FAIL() << "it was not moved"; }

private:
    std::shared_ptr<int> held_;
    int moves_ = 0;
};

TEST(PythonExecutor, AHandlerWhoseMoveThrowsIsDestroyedAndToldOf) {
    unraisable const told;
    loop own;
    auto const alive = std::make_shared<int>();
    own.python.execute(moved_twice(alive));
    own.run();
    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_THAT(told.texts(), ElementsAre(HasSubstr("moved")));
}

TEST(PythonExecutor, AfterPythonsEndHandlersAreDroppedAndCounted) {
    loop own;
    auto const alive = std::make_shared<int>();
    bool ran = false;
    auto owned = [] {
        gil_acquire const gil;
        return handoff::gil_shared<py::object>(py::list());
    }();
    asio::post(own.python, [&, alive, owned] { ran = true; });
    embedded_python::python().stop();
    asio::post(own.python, [&, alive, owned] { ran = true; });
    own.run();
    EXPECT_FALSE(ran);
    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_EQ(own.python.counts().dropped, 2U);
    EXPECT_EQ(own.python.counts().run, 0U);
}

}  // namespace
