// The GIL toolkit: what each guard does on entry, in scope and at the end.
#include "embedded_python.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
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

/// What Python's sys.unraisablehook was told, one line each; and before, what it is told goes
/// there.
class AnErrorThatIsLeft : public testing::Test {
protected:
    void SetUp() override {
        embedded_python::python().run_string(
            "import sys\n"
            "told = []\n"
            "sys.unraisablehook = lambda left: told.append("
            "f'{left.exc_value!r} in {left.object}')\n");
    }
    void TearDown() override {
        embedded_python::python().run_string("sys.unraisablehook = sys.__unraisablehook__");
    }

    static std::string told() {
        gil_acquire gil;
        py::object const lines = py::import("__main__").attr("told");
        return py::extract<std::string>(py::str("\n").join(lines));
    }

    static bool is_error_set() {
        gil_acquire gil;
        return PyErr_Occurred() != nullptr;
    }

    static constexpr auto report =
        "ValueError('left') in a hold of the GIL that ended with this error set";
};

void leave_an_error() {
    gil_acquire gil;
    PyErr_SetString(PyExc_ValueError, "left");
}

TEST_F(AnErrorThatIsLeft, ByACallbackIsReportedAndDoesNotReachTheNext) {
    std::thread([] {
        leave_an_error();  // with a state that is made for it
        EXPECT_FALSE(is_error_set());
        EXPECT_EQ(told(), report);
        leave_an_error();  // with the state that was kept
        EXPECT_FALSE(is_error_set());
    }).join();
    EXPECT_EQ(told(), std::string(report) + "\n" + report);
}

TEST_F(AnErrorThatIsLeft, OnAnAttachedThreadIsReported) {
    std::thread([] {
        gil_attachment attached;
        leave_an_error();
        EXPECT_FALSE(is_error_set());
    }).join();
    EXPECT_EQ(told(), report);
}

TEST_F(AnErrorThatIsLeft, InATryAcquireIsReported) {
    std::thread([] {
        {
            handoff::gil_try_acquire gil;
            ASSERT_TRUE(gil);
            PyErr_SetString(PyExc_ValueError, "left");
        }
        EXPECT_FALSE(is_error_set());
    }).join();
    EXPECT_EQ(told(), report);
}

TEST_F(AnErrorThatIsLeft, ByAnExceptionThatLeavesTheHoldIsReported) {
    std::thread([] {
        try {
            gil_acquire gil;
            py::import("no_such_module");
        } catch (py::error_already_set const&) {
            EXPECT_FALSE(is_error_set());
        }
    }).join();
    EXPECT_NE(told().find("ModuleNotFoundError"), std::string::npos);
}

TEST_F(AnErrorThatIsLeft, InANestedHoldIsForTheOuterOne) {
    std::thread([] {
        gil_acquire outer;
        leave_an_error();
        EXPECT_NE(PyErr_Occurred(), nullptr);
        {
            gil_release meanwhile;
            leave_an_error();
        }
        EXPECT_NE(PyErr_Occurred(), nullptr);
        PyErr_Clear();
    }).join();
    EXPECT_EQ(told(), "");
}

TEST_F(AnErrorThatIsLeft, WithinACallFromPythonGoesBackToIt) {
    static PyMethodDef fails = {.ml_name = "fails",
                                .ml_meth = [](PyObject*, PyObject*) -> PyObject* {
                                    PyThreadState* const callers = PyEval_SaveThread();
                                    leave_an_error();
                                    PyEval_RestoreThread(callers);
                                    return nullptr;
                                },
                                .ml_flags = METH_NOARGS,
                                .ml_doc = nullptr};
    auto const call = [] {
        {
            gil_acquire gil;
            py::object main = py::import("__main__");
            main.attr("fails") = py::object(py::handle<>(PyCFunction_New(&fails, nullptr)));
        }
        embedded_python::python().run_string(
            "try:\n"
            "    fails()\n"
            "except ValueError as error:\n"
            "    told.append('caught')\n");
    };
    call();
    std::thread(call).join();
    EXPECT_EQ(told(), "caught\ncaught");
}

TEST_F(AnErrorThatIsLeft, IsReportedByAHookThatFailsItself) {
    embedded_python::python().run_string("sys.unraisablehook = None; sys.stderr = None");
    std::thread([] {
        leave_an_error();
        EXPECT_FALSE(is_error_set());
    }).join();
    embedded_python::python().run_string("sys.stderr = sys.__stderr__");
}

/// Has Python code of the current interpreter call work(). GIL: held.
void in_this_interpreter(std::function<void()> work) {
    static PyMethodDef call = {
        .ml_name = "call",
        .ml_meth = [](PyObject* self, PyObject*) -> PyObject* {
            (*static_cast<std::function<void()>*>(PyCapsule_GetPointer(self, nullptr)))();
            return Py_NewRef(Py_None);
        },
        .ml_flags = METH_NOARGS,
        .ml_doc = nullptr};
    PyObject* const called = PyCapsule_New(&work, nullptr, nullptr);
    PyObject* const function = PyCFunction_New(&call, called);
    PyObject_SetAttrString(PyImport_AddModule("__main__"), "call", function);
    Py_DECREF(function);
    Py_DECREF(called);
    EXPECT_EQ(PyRun_SimpleString("call()"), 0);
}

/// The same in a new subinterpreter, on the calling thread.
void in_a_subinterpreter(std::function<void()> work) {
    PyThreadState* const before = PyThreadState_Get();
    PyThreadState* const sub = Py_NewInterpreter();
    ASSERT_NE(sub, nullptr);
    in_this_interpreter(std::move(work));
    EXPECT_EQ(PyThreadState_Get(), sub);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(before);
}

TEST(Subinterpreter, HoldsTheGil) {
    gil_acquire gil;
    in_a_subinterpreter([] {
        EXPECT_TRUE(gil_held());
        bool held_elsewhere = true;
        std::thread([&] { held_elsewhere = gil_held(); }).join();
        EXPECT_FALSE(held_elsewhere);
    });
    EXPECT_TRUE(gil_held());
}

TEST(Subinterpreter, AnAcquireNests) {
    gil_acquire gil;
    in_a_subinterpreter([] {
        gil_acquire nested;  // the test's timeout is what fails it
        EXPECT_TRUE(gil_held());
        handoff::gil_try_acquire too;
        EXPECT_TRUE(too);
    });
}

TEST(Subinterpreter, AReleaseLetsANativeThreadIn) {
    gil_acquire gil;
    in_a_subinterpreter([] {
        PyThreadState* const its = PyThreadState_Get();
        bool ran = false;
        {
            gil_release while_joining;
            EXPECT_FALSE(gil_held());
            std::thread([&] {
                gil_acquire inside;
                ran = true;
            }).join();
            gil_acquire again;
            EXPECT_TRUE(gil_held());
        }
        EXPECT_TRUE(ran);
        EXPECT_EQ(PyThreadState_Get(), its);
    });
}

TEST(Subinterpreter, IsEnteredByAThreadThatHadNoState) {
    PyThreadState* sub = nullptr;
    {
        gil_acquire gil;
        PyThreadState* const before = PyThreadState_Get();
        sub = Py_NewInterpreter();
        ASSERT_NE(sub, nullptr);
        PyThreadState_Swap(before);
    }
    PyInterpreterState* const interpreter = PyThreadState_GetInterpreter(sub);
    std::thread([&] {
        PyThreadState* const own = PyThreadState_New(interpreter);
        PyEval_RestoreThread(own);
        EXPECT_TRUE(gil_held());
        {
            gil_release released;
            EXPECT_FALSE(gil_held());
        }
        EXPECT_EQ(PyThreadState_Get(), own);
        PyThreadState_Clear(own);
        PyThreadState_DeleteCurrent();
    }).join();
    gil_acquire gil;
    PyThreadState* const before = PyThreadState_Swap(sub);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(before);
}

TEST(Subinterpreter, ThatAnotherThreadMadeIsHeldByWhoExecutesIt) {
    std::latch made(1);
    std::latch asked(1);
    std::thread maker;
    {
        PyThreadState* sub = nullptr;
        maker = std::thread([&] {
            {
                gil_acquire gil;
                PyThreadState* const before = PyThreadState_Get();
                sub = Py_NewInterpreter();
                PyThreadState_Swap(before);
            }
            made.count_down();
            asked.wait();
        });
        made.wait();
        gil_acquire gil;
        PyThreadState* const before = PyThreadState_Swap(sub);
        in_this_interpreter([] {
            EXPECT_TRUE(gil_held());
            gil_acquire nested;
            gil_release released;
            EXPECT_FALSE(gil_held());
        });
        Py_EndInterpreter(sub);
        PyThreadState_Swap(before);
    }
    asked.count_down();
    maker.join();
}

TEST(Subinterpreter, OfAnotherThreadIsNotHeldHere) {
    std::atomic<bool> over = false;
    std::jthread const asks([&] {
        while (!over) {
            EXPECT_FALSE(gil_held());
        }
    });
    gil_acquire gil;
    for (int i = 0; i < 10; ++i) {
        in_a_subinterpreter([] {
            for (int round = 0; round < 100; ++round) {
                EXPECT_TRUE(gil_held());
                gil_release released;
                gil_acquire again;
            }
        });
    }
    over = true;
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

/// As docs/gil.md has it: the GIL is held by whoever stops it, and one caller joins.
class taken_out {
public:
    void start() {
        worker_ = std::thread([this] { work(); });
    }
    void stop() {
        running_ = false;
        std::thread ended = std::exchange(worker_, std::thread());
        gil_release while_joining;
        if (ended.joinable()) {
            ended.join();
        }
    }

private:
    void work() const {
        while (running_) {
            gil_acquire gil;
        }
    }

    std::atomic<bool> running_ = true;
    std::thread worker_;
};

/// And the other way: each caller waits for the end.
class with_a_mutex {
public:
    void start() {
        gil_release while_locking;
        std::scoped_lock one_at_a_time(joining_);
        worker_ = std::thread([this] { work(); });
    }
    void stop() {
        running_ = false;
        gil_release while_joining;
        std::scoped_lock one_at_a_time(joining_);
        if (worker_.joinable()) {
            worker_.join();
        }
        EXPECT_TRUE(has_ended_);
    }

private:
    void work() {
        while (running_) {
            gil_acquire gil;
        }
        has_ended_ = true;
    }

    std::atomic<bool> running_ = true;
    std::atomic<bool> has_ended_ = false;
    handoff::mutex joining_;
    std::thread worker_;
};

/// Threads that hold the GIL, as Python's do, stop it at once.
template <class Worker>
void stop_from_many_threads() {
    for (int round = 0; round < 50; ++round) {
        Worker worker;
        {
            gil_acquire gil;
            worker.start();
        }
        std::latch together(4);
        std::vector<std::jthread> stopping;
        stopping.reserve(4);
        for (int i = 0; i < 4; ++i) {
            stopping.emplace_back([&] {
                together.arrive_and_wait();
                gil_acquire gil;
                worker.stop();
            });
        }
    }
}

TEST(Handoff, ManyThreadsStopAWorkerThatOneOfThemTakesOut) { stop_from_many_threads<taken_out>(); }

TEST(Handoff, ManyThreadsStopAWorkerThatHasAMutex) { stop_from_many_threads<with_a_mutex>(); }

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
