// gil_owned, gil_shared: who drops the references, when, and that nobody waits for it.
#include "embedded_python.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::gil_acquire;
using handoff::gil_held;
using handoff::gil_owned;
using handoff::gil_release;
using handoff::gil_shared;

/// How Python objects of a test have died.
struct deaths {
    std::atomic<int> with_gil = 0;
    std::atomic<int> without_gil = 0;

    [[nodiscard]] int number() const { return with_gil + without_gil; }

    deaths() = default;
    deaths(deaths const&) = delete;
    deaths& operator=(deaths const&) = delete;
    ~deaths() { EXPECT_EQ(without_gil, 0); }
};

/// A Python object whose death is counted. GIL: held.
py::object counted_by(deaths& all) {
    return py::object(py::handle<>(PyCapsule_New(&all, nullptr, [](PyObject* self) {
        auto& its = *static_cast<deaths*>(PyCapsule_GetPointer(self, nullptr));
        ++(gil_held() ? its.with_gil : its.without_gil);
    })));
}

gil_owned<py::object> owned_by(deaths& all) {
    gil_acquire gil;
    return gil_owned<py::object>(counted_by(all));
}

template <class Work>
void run_in_main(Work const& work) {
    gil_acquire gil;
    work();
}

TEST(GilOwned, IsDroppedAtOnceWhereTheGilIsHeld) {
    deaths all;
    auto owned = owned_by(all);
    gil_acquire gil;
    owned.reset();
    EXPECT_EQ(all.number(), 1);
    EXPECT_FALSE(owned);
    owned.reset();
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsDroppedByTheNextHoldWhereItIsNot) {
    deaths all;
    std::thread([owned = owned_by(all)] { EXPECT_TRUE(owned); }).join();
    EXPECT_EQ(all.number(), 0);
    gil_acquire gil;
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsDroppedByTheNextHoldOfAnyThread) {
    deaths all;
    owned_by(all).reset();
    std::thread([] { gil_acquire gil; }).join();
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsDroppedWhereAReleaseEnds) {
    deaths all;
    auto owned = owned_by(all);
    gil_acquire gil;
    {
        gil_release released;
        owned.reset();
        EXPECT_EQ(all.number(), 0);
    }
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsDroppedByPythonCodeOfTheMainThread) {
    deaths all;
    auto owned = owned_by(all);
    embedded_python::python().invoke([&] {
        PyThreadState* const saved = PyEval_SaveThread();  // no guard of ours
        owned.reset();
        PyEval_RestoreThread(saved);
        EXPECT_EQ(all.number(), 0);
        PyRun_SimpleString("for each in range(1000): pass");
        EXPECT_EQ(all.number(), 1);
    });
}

#if PY_VERSION_HEX >= 0x030D0000  // earlier a pending call has nobody look
TEST(GilOwned, IsDroppedByPythonCodeThatNeverPauses) {
    static deaths all;
    auto owned = owned_by(all);
    {
        gil_acquire gil;
        py::object main = py::import("__main__");
        main.attr("number") = py::make_function(+[] { return all.number(); });
    }
    std::atomic<bool> runs = false;
    std::thread giver([&] {
        while (!runs) {
        }
        owned.reset();
    });
    embedded_python::python().invoke([&] {
        runs = true;
        PyRun_SimpleString(
            "import time\nend = time.monotonic() + 20\n"
            "while not number() and time.monotonic() < end: pass");
        EXPECT_EQ(all.number(), 1);
    });
    giver.join();
}
#endif

TEST(GilOwned, IsReplacedAsItIsReset) {
    deaths all;
    auto owned = owned_by(all);
    owned = gil_owned<py::object>();
    EXPECT_FALSE(owned);
    gil_acquire gil;
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsGivenUpWhileAnotherHoldsTheGilAndNobodyWaits) {
    deaths all;
    auto owned = owned_by(all);
    gil_acquire gil;
    std::thread([moved = std::move(owned)] {}).join();  // would wait for ever for who waits here
    EXPECT_EQ(all.number(), 0);
    {
        gil_release so_that_it_is_taken;
    }
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsGivenUpUnderAMutexForWhichTheHolderOfTheGilWaits) {
    deaths all;
    std::mutex mutex;
    auto owned = owned_by(all);
    std::promise<void> locked;
    std::promise<void> waits;
    std::thread giver([&] {
        std::scoped_lock const held(mutex);
        locked.set_value();
        waits.get_future().wait();
        owned.reset();
    });
    locked.get_future().wait();
    {
        gil_acquire gil;
        waits.set_value();
        std::scoped_lock const held(mutex);
    }
    giver.join();
    gil_acquire gil;
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsDroppedLaterWhereAMutexOfOursIsHeldWithTheGil) {
    deaths all;
    auto owned = owned_by(all);
    handoff::mutex mutex;
    {
        gil_acquire gil;
        std::scoped_lock const held(mutex);
        owned.reset();  // a finalizer might let another thread have the GIL, which waits for it
        EXPECT_EQ(all.number(), 0);
    }
    gil_acquire gil;
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, IsGivenUpByAThreadThatEnds) {
    deaths all;
    std::thread([&] {
        static thread_local gil_owned<py::object> kept;
        kept = owned_by(all);
    }).join();
    gil_acquire gil;
    EXPECT_EQ(all.number(), 1);
}

TEST(GilOwned, KeepsTheOrder) {
    std::vector<int> order;
    struct told {
        std::vector<int>* order;
        int number;
    };
    std::vector<told> all{{.order = &order, .number = 0},
                          {.order = &order, .number = 1},
                          {.order = &order, .number = 2}};
    for (told& each : all) {
        gil_acquire gil;
        gil_owned<py::object> owned(
            py::object(py::handle<>(PyCapsule_New(&each, nullptr, [](PyObject* self) {
                auto const& its = *static_cast<told*>(PyCapsule_GetPointer(self, nullptr));
                its.order->push_back(its.number);
            }))));
        PyThreadState* const saved = PyEval_SaveThread();
        owned.reset();
        PyEval_RestoreThread(saved);
    }
    gil_acquire gil;
    {
        gil_release so_that_it_is_taken;
    }
    EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

TEST(GilOwned, IsNotDroppedWithinTheFinalizerOfAnother) {
    static std::vector<int> order;
    run_in_main([] {
        py::object main = py::import("__main__");
        main.attr("note") = py::make_function(+[](int number) { order.push_back(number); });
        main.attr("pause") = py::make_function(+[] { gil_release released; });
    });
    embedded_python::python().run_string(
        "class Told:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __del__(self):\n"
        "        for each in range(1000): pause()\n"
        "        note(self.n)\n");
    std::vector<gil_owned<py::object>> owned;
    run_in_main([&] {
        for (int i = 0; i < 10; ++i) {
            owned.emplace_back(py::import("__main__").attr("Told")(i));
        }
    });
    for (auto& each : owned) {
        each.reset();
    }
    {
        gil_acquire so_that_they_are_dropped;
    }
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(GilOwned, LeavesAnErrorThatIsSet) {
    deaths all;
    auto owned = owned_by(all);
    gil_acquire gil;
    PyErr_SetString(PyExc_KeyError, "set before");
    {
        gil_release released;
        owned.reset();
    }
    EXPECT_EQ(all.number(), 1);
    EXPECT_TRUE(PyErr_ExceptionMatches(PyExc_KeyError));
    PyErr_Clear();
}

TEST(GilOwned, OfManyThreadsLosesNothingBesidePython) {
    static constexpr int threads = 4;
    static constexpr int each = 2000;
    deaths all;
    {
        std::vector<std::vector<gil_owned<py::object>>> owned(threads);
        {
            gil_acquire gil;
            for (auto& its : owned) {
                std::generate_n(std::back_inserter(its), each,
                                [&] { return gil_owned<py::object>(counted_by(all)); });
            }
        }
        std::vector<std::jthread> givers;
        givers.reserve(threads);
        for (auto& its : owned) {
            givers.emplace_back([&its] { its.clear(); });
        }
        embedded_python::python().run_string("for each in range(200000): pass");
    }
    gil_acquire gil;
    EXPECT_EQ(all.number(), threads * each);
}

TEST(GilOwned, IsNotLostInTheChildOfAFork) {
    static deaths all;
    owned_by(all).reset();
    pid_t child = -1;
    {
        gil_acquire gil;
        auto later = owned_by(all);
        PyOS_BeforeFork();
        child = fork();
        if (child == 0) {
            PyOS_AfterFork_Child();
            PyThreadState* const saved = PyEval_SaveThread();
            later.reset();
            PyEval_RestoreThread(saved);
            PyRun_SimpleString("for each in range(1000): pass");
            std::_Exit(all.number());
        }
        PyOS_AfterFork_Parent();
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 2);
    EXPECT_EQ(all.number(), 2);
}

TEST(GilOwned, OfAnEarlierLifeIsLeftAlone) {
    deaths all;
    auto owned = owned_by(all);
    auto given_up = owned_by(all);
    {
        gil_acquire gil;
        Py_INCREF(owned.get().ptr());  // so that they are there, for a test that fails
        Py_INCREF(given_up.get().ptr());
    }
    embedded_python::python().stop();
    given_up.reset();
    Py_Initialize();
    {
        gil_release so_that_it_is_taken;
    }
    owned.reset();
    EXPECT_EQ(all.number(), 0);
    Py_Finalize();
}

TEST(GilShared, IsCopiedWithoutTheGilAndDroppedByTheLast) {
    deaths all;
    gil_shared<py::object> first;
    {
        gil_acquire gil;
        first = gil_shared<py::object>(counted_by(all));
    }
    gil_shared<py::object> second = first;
    gil_acquire gil;
    EXPECT_EQ(first.get().ptr(), second.get().ptr());
    first.reset();
    EXPECT_FALSE(first);
    EXPECT_EQ(all.number(), 0);
    second.reset();
    EXPECT_EQ(all.number(), 1);
}

TEST(GilShared, OfManyThreadsIsDroppedOnce) {
    static constexpr int many = 8;
    deaths all;
    {
        gil_shared<py::object> shared;
        {
            gil_acquire gil;
            shared = gil_shared<py::object>(counted_by(all));
        }
        std::vector<std::jthread> threads;
        threads.reserve(many);
        for (int i = 0; i < many; ++i) {
            threads.emplace_back([copy = shared] {
                for (int time = 0; time < 1000; ++time) {
                    auto another = copy;
                    another.reset();
                }
            });
        }
    }
    gil_acquire gil;
    EXPECT_EQ(all.number(), 1);
}

}  // namespace
