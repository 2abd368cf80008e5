// gil_once: who makes the value, how often, who waits and how, in every state of Python's.
#include "embedded_python.hpp"
#include "with_and_without_gil.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <latch>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::gil_acquire;
using handoff::gil_held;
using handoff::gil_once;
using handoff::gil_release;

static_assert(std::is_trivially_destructible_v<gil_once<std::string>>);

/// For what must not be called.
int never() {
    ADD_FAILURE() << "it is made once more";
    return -1;
}

/// Takes the GIL where `held`, for what has to work with it and without it.
class GilOnce : public with_and_without_gil {};
INSTANTIATE_TEST_SUITE_P(Where, GilOnce, testing::Bool(), with_and_without_gil::name);

TEST_P(GilOnce, IsMadeOnceAndWithTheGil) {
    static constinit gil_once<int> once;
    auto const make = [] { return gil_held() ? 42 : -1; };
    int& first = once.get(make);
    EXPECT_EQ(first, 42);
    EXPECT_EQ(&once.get(never), &first);
}

TEST_P(GilOnce, TakesWhatItsTypeIsConstructedOf) {
    static constinit gil_once<py::object> once;
    auto const& type = once.get([] { return py::import("fractions").attr("Fraction"); });
    gil_acquire gil;
    EXPECT_EQ(std::string(py::extract<std::string>(py::str(type(1, 3)))), "1/3");
}

TEST_P(GilOnce, HoldsWhatCanNeitherBeCopiedNorMoved) {
    static constinit gil_once<std::atomic<int>> once;
    EXPECT_EQ(once.get([] { return 7; }), 7);
}

TEST_P(GilOnce, IsMadeByTheNextWhereOneHasFailed) {
    static constinit gil_once<int> once;
    EXPECT_THROW(static_cast<void>(once.get([]() -> int { throw std::runtime_error("no"); })),
                 std::runtime_error);
    EXPECT_EQ(once.get([] { return 2; }), 2);
}

TEST_P(GilOnce, PassesOnWhatPythonRaised) {
    static constinit gil_once<py::object> once;
    auto const fails = [] { return py::import("no_such_module"); };
    if (GetParam()) {
        EXPECT_THROW(static_cast<void>(once.get(fails)), py::error_already_set);
        EXPECT_TRUE(PyErr_ExceptionMatches(PyExc_ModuleNotFoundError));
        PyErr_Clear();
    } else {
        try {
            static_cast<void>(once.get(fails));
            FAIL() << "no exception";
        } catch (handoff::python_error const& error) {
            EXPECT_EQ(error.type(), "ModuleNotFoundError");
        }
    }
}

TEST_P(GilOnce, DoesNotWaitForItself) {
    static constinit gil_once<int> once;
    auto const itself = [] { return once.get(never); };
    EXPECT_THROW(static_cast<void>(once.get(itself)), std::logic_error);
    EXPECT_EQ(once.get([] { return 3; }), 3);
}

TEST_P(GilOnce, DoesNotWaitForItselfByWayOfAnother) {
    static constinit gil_once<int> once;
    static constinit gil_once<int> another;
    auto const itself = [] { return another.get([] { return once.get(never); }); };
    EXPECT_THROW(static_cast<void>(once.get(itself)), std::logic_error);
    EXPECT_EQ(once.get([] { return another.get([] { return 4; }); }), 4);
}

/// One thread makes it; it lets the others in, and has the GIL again when the last of them, which
/// hold it, waits in get().
template <class Make>
int made_beside_others(gil_once<int>& once, std::vector<std::function<int()>> const& others,
                       Make make) {
    std::latch begun(1);
    std::latch all_there(std::ssize(others));
    std::vector<std::jthread> threads;
    threads.reserve(others.size());
    for (auto const& other : others) {
        threads.emplace_back([&] {
            begun.wait();
            gil_acquire gil;
            all_there.count_down();
            EXPECT_EQ(once.get(other), 5);
        });
    }
    return once.get([&] {
        {
            gil_release as_an_import_does;
            begun.count_down();
            all_there.wait();
        }
        return make();
    });
}

TEST_P(GilOnce, IsWaitedForWithoutTheGil) {
    static constinit gil_once<int> once;
    gil_release for_the_others;
    EXPECT_EQ(made_beside_others(once, {&never, &never, &never}, [] { return 5; }), 5);
}

TEST_P(GilOnce, IsMadeByOneOfThoseThatWaitedWhereItsMakerHasFailed) {
    static constinit gil_once<int> once;
    gil_release for_the_others;
    static std::atomic<int> made = 0;
    auto const makes = [] {
        ++made;
        return 5;
    };
    EXPECT_THROW(made_beside_others(once, {makes, makes, makes},
                                    []() -> int { throw std::runtime_error("no"); }),
                 std::runtime_error);
    EXPECT_EQ(made, 1);
}

TEST(GilOnceOfManyThreads, IsMadeOnceBesideBusyPython) {
    static constinit std::array<gil_once<int>, 200> all;
    static std::atomic<int> made = 0;
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([] {
            for (auto& once : all) {
                EXPECT_EQ(once.get([] {
                    embedded_python::python().run_string("import threading");
                    gil_release as_an_import_does;
                    std::this_thread::yield();
                    return ++made > 0 ? 1 : 0;
                }),
                          1);
            }
        });
    }
    embedded_python::python().run_string("for each in range(300000): pass");
    threads.clear();
    EXPECT_EQ(made, std::ssize(all));
}

/// One finds no value, and gets its turn after another has ended its own.
TEST(GilOnceOfManyThreads, IsMadeOnceWhereAllComeAtTheSameMoment) {
    constexpr int threads_at_once = 4;
    static constinit std::array<gil_once<int>, 3000> all;
    static std::atomic<int> made = 0;
    static std::barrier together(threads_at_once);
    static_cast<void>(embedded_python::python());
    std::vector<std::jthread> threads;
    threads.reserve(threads_at_once);
    for (int i = 0; i < threads_at_once; ++i) {
        threads.emplace_back([] {
            for (auto& once : all) {
                together.arrive_and_wait();
                static_cast<void>(once.get([] { return ++made; }));
            }
        });
    }
    threads.clear();
    EXPECT_EQ(made, std::ssize(all));
}

/// fork() as Python does it. GIL: held.
pid_t fork_with_python() {
    PyOS_BeforeFork();
    pid_t const child = fork();
    if (child == 0) {
        alarm(std::chrono::duration_cast<std::chrono::duration<unsigned>>(long_enough).count());
        PyOS_AfterFork_Child();
    } else {
        PyOS_AfterFork_Parent();
    }
    return child;
}

int exit_code(pid_t child) {
    gil_release while_waiting;
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    return WEXITSTATUS(status);
}

/// Returns: the exit code of a child, which is what `work` returns. GIL: held.
int in_a_child(std::function<int()> const& work) {
    pid_t const child = fork_with_python();
    if (child == 0) {
        std::_Exit(work());
    }
    return exit_code(child);
}

TEST(GilOnceInAForksChild, IsMadeThereWhereAThreadOfTheParentsWasAtIt) {
    static constinit gil_once<int> once;
    std::latch begun(1);
    std::latch forked(1);
    std::jthread maker([&] {
        EXPECT_EQ(once.get([&] {
            gil_release as_an_import_does;
            begun.count_down();
            forked.wait();
            return 1;
        }),
                  1);
    });
    begun.wait();
    {
        gil_acquire gil;
        EXPECT_EQ(in_a_child([] {
                      int const made = once.get([] { return 20; });
                      return made + (once.get(never) == made ? 1 : 0);
                  }),
                  21);
    }
    forked.count_down();
    maker.join();
    EXPECT_EQ(once.get(never), 1);
}

TEST(GilOnceInAForksChild, IsThereWhereItWasBefore) {
    static constinit gil_once<int> once;
    gil_acquire gil;
    EXPECT_EQ(once.get([] { return 30; }), 30);
    EXPECT_EQ(in_a_child([] { return once.get(never); }), 30);
}

TEST(GilOnceInAForksChild, IsMadeOnWhereItsMakerForked) {
    static constinit gil_once<int> once;
    gil_acquire gil;
    EXPECT_EQ(once.get([] {
        EXPECT_EQ(in_a_child([] {
                      try {
                          return once.get(never);
                      } catch (std::logic_error const&) {  // this thread is at it, as it was
                          return 40;
                      }
                  }),
                  40);
        return 41;
    }),
              41);
}

TEST(GilOnceInAForksChild, IsTheFirstOfTwoWhereItsMakerForked) {
    static constinit gil_once<int> once;
    gil_acquire gil;
    pid_t child = -1;
    int const value = once.get([&] {
        child = fork_with_python();
        if (child == 0) {  // where a thread that its maker begins is faster
            gil_release for_the_other;
            std::thread([] { static_cast<void>(once.get([] { return 50; })); }).join();
        }
        return 51;
    });
    if (child == 0) {
        std::_Exit(value + (&once.get(never) == &once.get(never) ? 0 : 100));
    }
    EXPECT_EQ(exit_code(child), 50);
    EXPECT_EQ(value, 51);
}

TEST(GilOnceWhilePythonFinalizes, IsMadeWhereTheThreadThatWasAtItIsStopped) {
    static constinit gil_once<int> once;
    static std::latch begun(1);
    static std::latch never_comes(1);
    static int made = 0;
    std::thread([] {
        gil_acquire gil;
        static_cast<void>(once.get([] {
            gil_release as_an_import_does;
            begun.count_down();
            never_comes.wait();
            return 1;
        }));
    }).detach();
    begun.wait();
    embedded_python::python().invoke([] {
        py::import("__main__").attr("last") = py::object(py::handle<>(
            PyCapsule_New(&made, nullptr, [](PyObject*) { made = once.get([] { return 60; }); })));
    });
    embedded_python::python().stop();
    EXPECT_EQ(made, 60);
}

TEST(GilOnceInASubinterpreter, IsRefused) {
    static constinit gil_once<int> once;
    static PyMethodDef get = {.ml_name = "get",
                              .ml_meth = [](PyObject*, PyObject*) -> PyObject* {
                                  EXPECT_THROW(static_cast<void>(once.get(never)),
                                               std::logic_error);
                                  return Py_NewRef(Py_None);
                              },
                              .ml_flags = METH_NOARGS,
                              .ml_doc = nullptr};
    gil_acquire gil;
    PyThreadState* const main = PyThreadState_Get();
    PyThreadState* const sub = Py_NewInterpreter();
    ASSERT_NE(sub, nullptr);
    PyObject* const function = PyCFunction_New(&get, nullptr);
    PyObject_SetAttrString(PyImport_AddModule("__main__"), "get", function);
    Py_DECREF(function);
    EXPECT_EQ(PyRun_SimpleString("get()"), 0);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(main);
    EXPECT_EQ(once.get([] { return 6; }), 6);
}

TEST(GilOnceInAnotherLife, IsMadeAnew) {
    static constinit gil_once<py::object> once;
    auto const make = [] { return py::object(py::handle<>(PyList_New(0))); };
    PyObject* const first = once.get(make).ptr();
    embedded_python::python().stop();
    EXPECT_THROW(static_cast<void>(once.get(make)), handoff::no_python);
    Py_Initialize();
    py::object& second = once.get(make);
    EXPECT_NE(&second, nullptr);
    EXPECT_NE(second.ptr(), first);
    EXPECT_EQ(PyList_Size(second.ptr()), 0);
    EXPECT_EQ(&once.get(make), &second);
    Py_Finalize();
}

}  // namespace
