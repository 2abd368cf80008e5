// The GIL toolkit: what each guard does on entry, in scope and at the end.
#include "embedded_python.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::gil_acquire;
using handoff::gil_attachment;
using handoff::gil_held;
using handoff::gil_owned;
using handoff::gil_release;

/// How many thread states the interpreter has.
std::size_t thread_states() {
    gil_acquire gil;
    std::size_t count = 0;
    for (PyThreadState* each = PyInterpreterState_ThreadHead(PyInterpreterState_Main());
         each != nullptr; each = PyThreadState_Next(each)) {
        ++count;
    }
    return count;
}

/// A Python object that says, when it dies, whether the GIL was held.
py::object tell_tale(std::atomic<int>& died_with_gil) {
    return py::object(py::handle<>(PyCapsule_New(&died_with_gil, nullptr, [](PyObject* self) {
        auto* const told = static_cast<std::atomic<int>*>(PyCapsule_GetPointer(self, nullptr));
        *told = gil_held() ? 1 : 0;
    })));
}

TEST(GilHeld, IsFalseOnceTheInterpreterHasStarted) { EXPECT_FALSE(gil_held()); }

TEST(GilHeld, IsTrueInTheScopeOfAGuardOnly) {
    {
        gil_acquire gil;
        EXPECT_TRUE(gil_held());
    }
    EXPECT_FALSE(gil_held());
}

TEST(GilHeld, IsAboutTheCallingThread) {
    gil_acquire gil;
    bool held_elsewhere = true;
    std::thread([&] { held_elsewhere = gil_held(); }).join();
    EXPECT_FALSE(held_elsewhere);
}

TEST(GilHeld, IsRightAfterASubinterpreterHasExisted) {
    gil_acquire gil;
    PyThreadState* const main = PyThreadState_Get();
    PyThreadState* const sub = Py_NewInterpreter();
    ASSERT_NE(sub, nullptr);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(main);

    EXPECT_TRUE(gil_held());
    gil_release released;
    EXPECT_FALSE(gil_held());
}

TEST(GilAcquire, NestsOnTheSameThread) {
    gil_acquire outer;
    {
        gil_acquire inner;
        EXPECT_TRUE(gil_held());
    }
    EXPECT_TRUE(gil_held());
}

TEST(GilAcquire, IsUndoneByAnException) {
    try {
        gil_acquire gil;
        throw std::runtime_error("passing");
    } catch (std::runtime_error const&) {
        EXPECT_FALSE(gil_held());
    }
}

TEST(GilAcquire, NestsInsideARelease) {
    gil_acquire outer;
    {
        gil_release released;
        {
            gil_acquire inner;
            EXPECT_TRUE(gil_held());
        }
        EXPECT_FALSE(gil_held());
    }
    EXPECT_TRUE(gil_held());
}

TEST(GilAcquire, KeepsOneThreadStateForAsLongAsItsThreadLives) {
    std::thread([] {
        PyThreadState* first = nullptr;
        {
            gil_acquire gil;
            first = PyThreadState_Get();
        }
        EXPECT_FALSE(gil_held());
        gil_acquire again;
        EXPECT_EQ(PyThreadState_Get(), first);
    }).join();
}

TEST(GilAcquire, KeepsThreadLocalValues) {
    auto& python = embedded_python::python();
    python.run_string("import threading; kept = threading.local()");
    std::thread([&] {
        python.run_string("kept.value = 42");
        python.run_string("assert kept.value == 42");
    }).join();
}

TEST(GilAcquire, MakesAStateAgainAfterAnAttachment) {
    std::size_t const before = thread_states();
    std::thread([&] {
        {
            gil_attachment attached;
            gil_acquire gil;
        }
        EXPECT_EQ(thread_states(), before + 1);  // it counts with the GIL, and so has one itself
    }).join();
}

TEST(GilAcquire, StatesOfThreadsThatEndedDoNotPileUp) {
    std::size_t const before = thread_states();
    for (int i = 0; i < 20; ++i) {
        std::thread([] { gil_acquire gil; }).join();
    }
    EXPECT_LE(thread_states(), before + 1);  // the last one's
}

TEST(GilAcquire, AStateOfAThreadThatEndedIsGoneOnceTwoOthersHaveBegun) {
    std::size_t const before = thread_states();
    std::thread([] { gil_acquire gil; }).join();
    std::thread([&] {
        {
            gil_acquire gil;
        }
        std::thread([&] { EXPECT_EQ(thread_states(), before + 2); }).join();  // of those two
    }).join();
}

TEST(GilAcquire, AThreadThatHasAcquiredEndsWithoutTheGil) {
    std::latch acquired(1);
    std::thread other([&] {
        {
            gil_acquire gil;
        }
        acquired.count_down();
    });
    acquired.wait();
    gil_acquire while_joining;
    other.join();  // the test's timeout is what fails it
}

TEST(GilAcquire, TheNextThreadDropsThreadLocalValuesOfOneThatEnded) {
    auto& python = embedded_python::python();
    std::atomic<int> died_with_gil = -1;
    std::thread([&] {
        gil_acquire gil;
        py::object const value = tell_tale(died_with_gil);
        PyDict_SetItemString(PyThreadState_GetDict(), "value", value.ptr());
    }).join();
    EXPECT_EQ(died_with_gil, -1);
    std::thread([&] { python.run_string("pass"); }).join();
    EXPECT_EQ(died_with_gil, 1);
}

TEST(GilAcquire, HoldsInADestructorOfItsThread) {
    static int times_held = 0;
    static pthread_key_t last{};
    ASSERT_EQ(pthread_key_create(&last,
                                 [](void*) {
                                     gil_acquire gil;
                                     times_held += gil_held() ? 1 : 0;
                                 }),
              0);
    std::size_t const before = thread_states();
    for (int i = 0; i < 3; ++i) {
        std::thread([] {
            {
                gil_acquire gil;
            }
            ASSERT_EQ(pthread_setspecific(last, &last), 0);
        }).join();
    }
    EXPECT_EQ(times_held, 3);
    EXPECT_LE(thread_states(), before + 3);  // not two for each
}

TEST(GilAcquire, ExcludesEveryOtherThread) {
    constexpr int threads = 8;
    constexpr int rounds = 2'000;
    int inside = 0;  // guarded by the GIL, and by nothing else
    int most_inside = 0;
    std::vector<std::thread> workers;
    workers.reserve(threads);
    for (int i = 0; i < threads; ++i) {
        workers.emplace_back([&] {
            gil_attachment attached;
            for (int round = 0; round < rounds; ++round) {
                gil_acquire gil;
                most_inside = std::max(most_inside, ++inside);
                --inside;
            }
        });
    }
    for (std::thread& each : workers) {
        each.join();
    }
    EXPECT_EQ(most_inside, 1);
    EXPECT_EQ(inside, 0);
}

TEST(GilRelease, DoesNothingWhenTheGilIsNotHeld) {
    {
        gil_release nothing_to_do;
        EXPECT_FALSE(gil_held());
    }
    EXPECT_FALSE(gil_held());
}

TEST(GilRelease, Nests) {
    gil_acquire gil;
    {
        gil_release outer;
        {
            gil_release inner;
            EXPECT_FALSE(gil_held());
        }
        EXPECT_FALSE(gil_held());
    }
    EXPECT_TRUE(gil_held());
}

TEST(GilRelease, IsUndoneByAnException) {
    gil_acquire gil;
    try {
        gil_release released;
        throw std::runtime_error("passing");
    } catch (std::runtime_error const&) {
        EXPECT_TRUE(gil_held());
    }
}

TEST(GilRelease, LetsANativeThreadIn) {
    gil_acquire gil;
    bool ran = false;
    gil_release while_joining;
    std::thread([&] {
        gil_acquire inside;
        ran = true;
    }).join();
    EXPECT_TRUE(ran);
}

TEST(GilAttachment, KeepsOneThreadStateBetweenAcquires) {
    std::thread([] {
        gil_attachment attached;
        EXPECT_FALSE(gil_held());
        PyThreadState* first = nullptr;
        {
            gil_acquire gil;
            first = PyThreadState_Get();
        }
        gil_acquire again;
        EXPECT_EQ(PyThreadState_Get(), first);
    }).join();
}

TEST(GilAttachment, KeepsThreadLocalValues) {
    auto& python = embedded_python::python();
    python.run_string("import threading; kept = threading.local()");
    std::thread([&] {
        gil_attachment attached;
        python.run_string("kept.value = 42");
        python.run_string("assert kept.value == 42");
    }).join();
}

TEST(GilAttachment, EndsWithItsThreadState) {
    std::size_t const before = thread_states();
    std::thread([&] {
        gil_attachment attached;
        EXPECT_EQ(thread_states(), before + 1);
    }).join();
    EXPECT_EQ(thread_states(), before);
}

TEST(GilAttachment, DoesNothingOnAThreadThatHasAState) {
    std::thread([] {
        gil_attachment outer;
        std::size_t const before = thread_states();
        {
            gil_attachment inner;
            EXPECT_EQ(thread_states(), before);
        }
        gil_acquire gil;  // would use a deleted state, had the inner one deleted it
        EXPECT_EQ(PyThreadState_Get(), PyGILState_GetThisThreadState());
    }).join();
}

/// Has Python fork, and the child do something and end. Returns its status, of waitpid().
int fork_a_child(void (*in_the_child)() = [] {}) {
    gil_acquire gil;
    PyOS_BeforeFork();
    pid_t const child = fork();
    if (child == 0) {
        alarm(std::chrono::duration_cast<std::chrono::duration<unsigned>>(long_enough).count());
        PyOS_AfterFork_Child();
        in_the_child();
        std::_Exit(0);
    }
    PyOS_AfterFork_Parent();
    int status = -1;
    gil_release while_waiting;
    waitpid(child, &status, 0);
    return status;
}

/// Threads that call `come` again and again, for as long as it lives.
std::vector<std::jthread> threads_that(void (*come)()) {
    static constexpr int many = 4;
    std::vector<std::jthread> threads;
    threads.reserve(many);
    for (int i = 0; i < many; ++i) {
        threads.emplace_back([come](std::stop_token const& stop) {
            while (!stop.stop_requested()) {
                come();
            }
        });
    }
    return threads;
}

constexpr int many_forks = 100;

TEST(GilAcquire, OfThreadsWithoutAStateDoesNotBlockTheChildOfAFork) {
    auto const threads = threads_that([] { gil_acquire gil; });
    for (int i = 0; i < many_forks; ++i) {
        ASSERT_EQ(fork_a_child(), 0) << "fork " << i;
    }
}

TEST(GilAcquire, InTheChildOfAForkTouchesNoStateThatTheParentsThreadsLeft) {
    static constexpr auto a_thread_acquires = [] { std::thread([] { gil_acquire gil; }).join(); };
    static constexpr auto two_acquire = [] {
        gil_release while_joining;
        a_thread_acquires();
        a_thread_acquires();
    };
    a_thread_acquires();
    EXPECT_EQ(fork_a_child(two_acquire), 0);
    std::thread([] {
        {
            gil_acquire which_clears_what_was_left;
        }
        EXPECT_EQ(fork_a_child(two_acquire), 0);
    }).join();
}

TEST(GilAttachment, OfOtherThreadsDoesNotBlockTheChildOfAFork) {
    auto const threads = threads_that([] { gil_attachment attached; });
    for (int i = 0; i < many_forks; ++i) {
        ASSERT_EQ(fork_a_child(), 0) << "fork " << i;
    }
}

TEST(GilOwned, DropsItsReferenceUnderTheGilOnANativeThread) {
    std::atomic<int> died_with_gil = -1;
    {
        gil_owned<py::object> owned;
        {
            gil_acquire gil;
            owned = gil_owned<py::object>(tell_tale(died_with_gil));
        }
        std::thread([moved = std::move(owned)] { EXPECT_TRUE(moved); }).join();
    }
    EXPECT_EQ(died_with_gil, 1);
}

TEST(GilOwned, ReplacesItsValueUnderTheGil) {
    std::atomic<int> died_with_gil = -1;
    gil_owned<py::object> owned;
    {
        gil_acquire gil;
        owned = gil_owned<py::object>(tell_tale(died_with_gil));
    }
    owned = gil_owned<py::object>();
    EXPECT_EQ(died_with_gil, 1);
    EXPECT_FALSE(owned);
}

TEST(GilOwned, ResetEmptiesItOnce) {
    std::atomic<int> died_with_gil = -1;
    gil_owned<py::object> owned;
    {
        gil_acquire gil;
        owned = gil_owned<py::object>(tell_tale(died_with_gil));
    }
    owned.reset();
    owned.reset();
    EXPECT_EQ(died_with_gil, 1);
}

TEST(TakeRaisedException, BringsTheExceptionWithItsTraceback) {
    gil_acquire gil;
    py::object const globals = py::import("__main__").attr("__dict__");
    py::handle<> const result(
        py::allow_null(PyRun_String("1 / 0", Py_eval_input, globals.ptr(), globals.ptr())));
    ASSERT_FALSE(result);

    py::object const raised{py::handle<>(handoff::take_raised_exception())};
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    EXPECT_TRUE(PyErr_GivenExceptionMatches(raised.ptr(), PyExc_ZeroDivisionError));
    EXPECT_FALSE(py::object(raised.attr("__traceback__")).is_none());
}

TEST(Handoff, WorkerRunsOnceMainReleasesAndNotBefore) {
    std::promise<void> entered;
    std::future<void> has_entered = entered.get_future();
    std::latch about_to_acquire(1);
    std::thread worker;
    {
        gil_acquire main_holds;
        worker = std::thread([&] {
            about_to_acquire.count_down();
            gil_acquire gil;
            entered.set_value();
        });
        about_to_acquire.wait();
        EXPECT_EQ(has_entered.wait_for(a_while), std::future_status::timeout);
    }
    EXPECT_TRUE(arrives(has_entered));
    worker.join();
}

TEST(Handoff, ManyWorkersLoseNoItem) {
    constexpr int threads = 16;
    constexpr int items = 500;
    gil_owned<py::list> list;
    {
        gil_acquire gil;
        list = gil_owned<py::list>(py::list());
    }
    std::vector<std::thread> workers;
    workers.reserve(threads);
    for (int i = 0; i < threads; ++i) {
        workers.emplace_back([&] {
            gil_attachment attached;
            for (int item = 0; item < items; ++item) {
                gil_acquire gil;
                list.get().append(py::len(list.get()));
            }
        });
    }
    for (std::thread& each : workers) {
        each.join();
    }
    gil_acquire gil;
    ASSERT_EQ(py::len(list.get()), threads * items);
    for (int i = 0; i < threads * items; ++i) {
        ASSERT_EQ(py::extract<int>(list.get()[i])(), i);
    }
}

}  // namespace
