// gil_gate, gil_try_acquire, gil_registration: who is let into Python, and how its end waits.
//
// Each case needs a process in which Python has not been started, which ctest gives it.
#include <handoff/boost_python/module.hpp>
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python.hpp>

#include <boost/mpl/vector.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <future>
#include <latch>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <memory>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <semaphore>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using handoff::gil_gate;
using handoff::gil_registration;
using handoff::gil_try_acquire;
using handoff::interpreter;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

namespace py = boost::python;

/// Whether the calling thread is let in, and holds the GIL exactly then.
bool is_let_in() {
    gil_try_acquire const gil;
    EXPECT_EQ(static_cast<bool>(gil), handoff::gil_held());
    return static_cast<bool>(gil);
}

bool on_another_thread(std::function<bool()> asked) {
    return std::async(std::launch::async, std::move(asked)).get();
}

/// Returns when the gate has begun to close.
void await_closing() {
    while (gil_gate::is_open()) {
        std::this_thread::yield();
    }
}

TEST(GilTryAcquire, SaysNoBeforePythonHasStartedAndAfterItHasEnded) {
    interpreter python;
    EXPECT_FALSE(is_let_in());
    python.start();
    EXPECT_TRUE(is_let_in());
    EXPECT_TRUE(on_another_thread(is_let_in));
    python.stop();
    EXPECT_FALSE(is_let_in());
    EXPECT_FALSE(on_another_thread(is_let_in));
}

TEST(GilTryAcquire, AThreadThatWasInMayEndAfterPythonHas) {
    interpreter python;
    python.start();
    std::promise<void> was_in;
    std::promise<void> has_ended;
    std::thread late([&] {
        EXPECT_TRUE(is_let_in());
        was_in.set_value();
        has_ended.get_future().wait();
    });
    was_in.get_future().wait();
    python.stop();
    has_ended.set_value();
    late.join();
}

TEST(GilAcquire, AThreadMayEndAfterAPythonWithoutAGate) {
    Py_InitializeEx(0);
    std::promise<void> was_in;
    std::promise<void> has_ended;
    std::thread late([&] {
        {
            handoff::gil_acquire gil;
        }
        was_in.set_value();
        has_ended.get_future().wait();
    });
    {
        handoff::gil_release while_waiting;
        was_in.get_future().wait();
    }
    Py_FinalizeEx();
    has_ended.set_value();
    late.join();
}

TEST(GilAcquire, StatesOfThreadsThatEndedDoNotOutliveAPythonWithoutAGate) {
    for (int life = 0; life < 3; ++life) {
        Py_InitializeEx(0);
        {
            handoff::gil_release while_they_run;
            for (int i = 0; i < 3; ++i) {
                std::thread([] { handoff::gil_acquire gil; }).join();
            }
        }
        PyThreadState* const newest = PyInterpreterState_ThreadHead(PyInterpreterState_Main());
        EXPECT_EQ(PyThreadState_Next(newest), PyThreadState_Get());  // the last one's, and our own
        Py_FinalizeEx();
    }
}

TEST(GilAcquire, AThreadThatOutlivesAPythonWithoutAGateLeavesNothingToTheNext) {
    std::latch acquired(1);
    std::latch finalized(1);
    Py_InitializeEx(0);
    std::thread late([&] {
        {
            handoff::gil_acquire gil;
        }
        acquired.count_down();
        finalized.wait();
    });
    {
        handoff::gil_release while_waiting;
        acquired.wait();
    }
    Py_FinalizeEx();
    finalized.count_down();
    late.join();

    Py_InitializeEx(0);
    {
        handoff::gil_release while_they_run;
        for (int i = 0; i < 2; ++i) {
            std::thread([] { handoff::gil_acquire gil; }).join();
        }
    }
    EXPECT_EQ(Py_FinalizeEx(), 0);
}

TEST(GilTryAcquire, RestoresWhatItFound) {
    interpreter python;
    python.start();
    EXPECT_TRUE(on_another_thread([] {
        {
            gil_try_acquire outer;
            EXPECT_TRUE(outer);
            {
                gil_try_acquire nested;
                EXPECT_TRUE(nested);
            }
            EXPECT_TRUE(handoff::gil_held());
            {
                handoff::gil_release within;
                EXPECT_TRUE(is_let_in());
                EXPECT_FALSE(handoff::gil_held());
            }
            EXPECT_TRUE(handoff::gil_held());
        }
        return !handoff::gil_held();
    }));
}

TEST(GilGate, WaitsForANewcomerThatIsInPython) {
    interpreter python;
    python.start();
    std::promise<void> is_in;
    bool was_let_back_in = false;
    std::thread newcomer([&] {
        gil_try_acquire gil;
        ASSERT_TRUE(gil);
        {
            handoff::gil_release while_waiting;
            is_in.set_value();
            await_closing();
        }
        was_let_back_in = is_let_in() && Py_IsInitialized() != 0;
    });
    is_in.get_future().wait();
    python.stop();
    EXPECT_TRUE(was_let_back_in);
    newcomer.join();
}

TEST(GilGate, RefusesNewcomersWhileItCloses) {
    interpreter python;
    python.start();
    std::promise<void> is_in;
    std::promise<bool> late;
    std::thread first([&] {
        gil_try_acquire gil;
        handoff::gil_release while_waiting;
        is_in.set_value();
        late.get_future().wait();  // so Python is still there when the other comes
    });
    is_in.get_future().wait();
    bool was_let_in = true;
    std::thread second([&] {
        await_closing();
        was_let_in = is_let_in() || static_cast<bool>(gil_registration("late"));
        late.set_value(true);
    });
    python.stop();
    second.join();
    first.join();
    EXPECT_FALSE(was_let_in);
}

TEST(GilRegistration, IsAskedToStopAndServedUntilItEnds) {
    interpreter python;
    python.start();
    std::promise<void> is_registered;
    int after_the_request = 0;
    std::thread registered([&] {
        gil_registration const at_the_gate("worker");
        ASSERT_TRUE(at_the_gate);
        EXPECT_FALSE(at_the_gate.stop_requested());
        is_registered.set_value();
        while (!at_the_gate.stop_requested()) {
            std::this_thread::yield();
        }
        for (int n = 0; n < 100; ++n) {
            gil_try_acquire gil;
            after_the_request += gil && Py_IsInitialized() != 0 ? 1 : 0;
        }
    });
    is_registered.get_future().wait();
    python.stop();
    EXPECT_EQ(after_the_request, 100);
    registered.join();
}

TEST(GilRegistration, ItsStopTokenWakesAWait) {
    interpreter python;
    python.start();
    std::promise<void> is_registered;
    bool woken = false;
    std::thread registered([&] {
        gil_registration const at_the_gate("sleeper");
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock held(mutex);
        is_registered.set_value();
        never.wait(held, at_the_gate.stop_token(), [] { return false; });
        woken = at_the_gate.stop_requested();
    });
    is_registered.get_future().wait();
    python.stop();
    EXPECT_TRUE(woken);
    registered.join();
}

TEST(GilRegistration, KeepsItsThreadState) {
    interpreter python;
    python.start();
    EXPECT_TRUE(on_another_thread([] {
        gil_registration const at_the_gate("keeper");
        std::array<PyThreadState*, 2> states{};
        for (PyThreadState*& each : states) {
            gil_try_acquire gil;
            each = PyThreadState_Get();
        }
        return states[0] == states[1];
    }));
}

TEST(GilRegistration, NestsAndIsRefusedWherePythonIsNot) {
    EXPECT_FALSE(gil_registration("early"));
    interpreter python;
    python.start();
    EXPECT_TRUE(on_another_thread([] {
        gil_registration const outer("outer");
        {
            EXPECT_TRUE(gil_registration("inner"));
        }
        return is_let_in();
    }));
    python.stop();
    EXPECT_FALSE(gil_registration("late"));
}

/// What happens to threads that do not leave. They outlive Python's end, as their process does.
struct stuck_threads {
    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
    std::array<std::promise<void>, 2> are_in;
    std::array<std::promise<bool>, 2> were_let_in_again;

    std::thread registered{[this] {
        gil_registration const at_the_gate("deaf");
        are_in[0].set_value();
        released.wait();
        were_let_in_again[0].set_value(is_let_in());
    }};
    std::thread newcomer{[this] {
        gil_try_acquire gil;
        handoff::gil_release for_ever;
        are_in[1].set_value();
        released.wait();
        were_let_in_again[1].set_value(is_let_in());
    }};

    stuck_threads() {
        for (std::promise<void>& each : are_in) {
            each.get_future().wait();
        }
    }
    ~stuck_threads() {
        registered.join();
        newcomer.join();
    }

    stuck_threads(stuck_threads const&) = delete;
    stuck_threads& operator=(stuck_threads const&) = delete;
};

TEST(GilRegistration, WithinANewcomersStayIsAskedToStop) {
    interpreter python;
    python.start();
    std::promise<void> is_in;
    auto asked = std::async(std::launch::async, [&] {
        gil_try_acquire const newcomer;
        gil_registration const nested("nested");
        gil_registration const in_that("nested twice");
        handoff::gil_release waiting;
        is_in.set_value();
        while (!nested.stop_requested()) {
            std::this_thread::yield();
        }
        return in_that.stop_requested();
    });
    is_in.get_future().wait();
    python.stop();
    EXPECT_TRUE(asked.get());
}

TEST(GilRegistration, LeavesNoNameToTheNextStayOfItsThread) {
    interpreter python;
    python.start();
    on_another_thread([&] {
        {
            gil_registration const known("known");
        }
        gil_try_acquire const newcomer;
        gil_registration const again("again");
        EXPECT_TRUE(again.stop_token().stop_possible());
        EXPECT_FALSE(again.stop_requested());
        return true;
    });
    python.stop();
}

TEST(GilGate, ServesManyThreadsOneAfterTheOther) {
    interpreter python;
    python.start();
    for (int each = 0; each < 1000; ++each) {
        EXPECT_TRUE(on_another_thread(&is_let_in));
    }
    python.stop();
    EXPECT_FALSE(on_another_thread(&is_let_in));
}

/// A key of its own, whose destructor is called as the thread ends, before or after the gate's.
TEST(GilGate, LetsInAThreadThatEnds) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "ThreadSanitizer has ended its part of a thread before the last destructor";
#endif
    static std::atomic<int> let_in;
    let_in = 0;
    std::array<pthread_key_t, 2> keys{};
    auto const make = [](pthread_key_t& key) {
        EXPECT_EQ(pthread_key_create(&key, [](void*) { let_in += is_let_in() ? 1 : 0; }), 0);
    };
    make(keys.front());
    interpreter python;
    python.start();
    on_another_thread(&is_let_in);  // has the gate make its own
    make(keys.back());
    std::thread([&] {
        EXPECT_TRUE(is_let_in());
        for (pthread_key_t const each : keys) {
            pthread_setspecific(each, &let_in);
        }
    }).join();
    python.stop();
    EXPECT_EQ(let_in, 2);
    for (pthread_key_t const each : keys) {
        pthread_key_delete(each);
    }
}

/// Whether the system filters system calls; qemu's emulation of a processor does not.
bool can_forbid_calls() { return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0; }

/// In this process, from now on, as the profile of a container may.
void forbid_membarrier() {
    std::array program = std::to_array<sock_filter>({
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    });
    sock_fprog const filter{.len = program.size(), .filter = program.data()};
    ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

/// And one that comes when the gate is open already.
TEST(GilGate, ClosesThoughTheKernelFencesNobodyAnyMore) {
    if (!can_forbid_calls()) {
        GTEST_SKIP() << "the system filters no system calls";
    }
    interpreter python;
    python.start();
    std::promise<void> may_end;
    std::promise<void> is_in;
    std::thread other([&, ended = may_end.get_future()] {
        EXPECT_TRUE(is_let_in());
        is_in.set_value();
        ended.wait();
    });
    is_in.get_future().wait();
    EXPECT_TRUE(handoff::detail::others_can_be_fenced);
    forbid_membarrier();
    python.stop();
    EXPECT_FALSE(handoff::detail::others_can_be_fenced);
    EXPECT_FALSE(on_another_thread(&is_let_in));
    may_end.set_value();
    other.join();
}

TEST(GilGate, NamesAndAbandonsWhoDoesNotLeave) {
    interpreter python;
    python.start();
    pthread_setname_np(pthread_self(), "main");
    stuck_threads stuck;
    pthread_setname_np(stuck.newcomer.native_handle(), "stranger");
    testing::internal::CaptureStderr();
    EXPECT_THAT([&] { python.stop(); },
                ThrowsMessage<std::runtime_error>(
                    AllOf(HasSubstr("not finalized"), HasSubstr("2 native thread(s)"))));
    EXPECT_THAT(
        testing::internal::GetCapturedStderr(),
        AllOf(HasSubstr("native thread \"deaf\" did not end within 10 s of being asked to stop"),
              HasSubstr("native thread \"stranger\" was in Python for 10 s"),
              HasSubstr("abandoned")));
    EXPECT_EQ(gil_gate::abandoned(), 2U);
    stuck.release.set_value();
    for (auto& each : stuck.were_let_in_again) {
        EXPECT_FALSE(each.get_future().get());
    }
}

TEST(GilGate, DoesNotWaitForWhoWasAbandonedBefore) {
    interpreter python;
    python.start();
    std::promise<void> is_registered;
    std::promise<void> closed;
    bool was_waited_for = true;
    std::thread stuck([&] {
        gil_registration const at_the_gate("stuck");
        is_registered.set_value();
        was_waited_for =
            closed.get_future().wait_for(gil_gate::grace / 2) != std::future_status::ready;
    });
    is_registered.get_future().wait();
    gil_gate::abandon(stuck.native_handle());
    python.invoke([] { EXPECT_TRUE(gil_gate::close()); });
    closed.set_value();
    stuck.join();
    EXPECT_FALSE(was_waited_for);
    python.stop();
}

TEST(GilGate, AnAbandonedThreadDoesNotWaitForTheGil) {
    interpreter python;
    python.start();
    std::promise<void> is_registered;
    std::promise<void> is_abandoned;
    std::promise<bool> let_in;
    std::thread late([&] {
        bool in = true;
        {
            gil_registration const at_the_gate("late");
            is_registered.set_value();
            is_abandoned.get_future().wait();
            in = is_let_in();
        }
        let_in.set_value(in);
    });
    is_registered.get_future().wait();
    std::future<bool> answer = let_in.get_future();
    python.invoke([&] {
        gil_gate::abandon(late.native_handle());
        is_abandoned.set_value();
        EXPECT_EQ(answer.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    });
    EXPECT_FALSE(answer.get());
    late.join();
    python.stop();
}

TEST(GilGate, CtrlCEndsTheWait) {
    interpreter python({.signal_handlers = true});
    python.start();
    stuck_threads stuck;
    std::thread user([] {
        await_closing();
        kill(getpid(), SIGINT);
    });
    testing::internal::CaptureStderr();
    EXPECT_THROW(python.stop(), std::runtime_error);
    EXPECT_THAT(
        testing::internal::GetCapturedStderr(),
        AllOf(HasSubstr("\"deaf\" was still in Python at Ctrl-C"), HasSubstr("KeyboardInterrupt")));
    user.join();
    stuck.release.set_value();
}

TEST(GilGate, ClosesAfterTheAtexitFunctionsThatWereRegisteredLater) {
    interpreter python;
    python.start();
    bool was_open = false;
    python.invoke([&] {
        py::import("atexit").attr("register")(
            py::make_function([&] { was_open = gil_gate::is_open(); }, py::default_call_policies(),
                              boost::mpl::vector<void>()));
    });
    python.stop();
    EXPECT_TRUE(was_open);
    EXPECT_FALSE(gil_gate::is_open());
}

TEST(GilGate, ClosesWhenAnInterpreterStopsThoughItsAtexitFunctionsWereCleared) {
    interpreter python;
    python.start();
    python.run_string("import atexit; atexit._clear()");
    bool was_asked_to_stop = false;
    std::promise<void> is_registered;
    std::thread registered([&] {
        gil_registration const at_the_gate("worker");
        is_registered.set_value();
        while (!at_the_gate.stop_requested()) {
            std::this_thread::yield();
        }
        was_asked_to_stop = is_let_in();
    });
    is_registered.get_future().wait();
    python.stop();
    registered.join();
    EXPECT_TRUE(was_asked_to_stop);
}

TEST(GilGate, IsNotOpenedFromASubinterpreter) {
    interpreter python;
    python.start();
    python.invoke([] {
        PyThreadState* const main = PyThreadState_Get();
        PyThreadState* const sub = Py_NewInterpreter();
        EXPECT_FALSE(gil_gate::open());
        EXPECT_NE(PyErr_ExceptionMatches(PyExc_RuntimeError), 0);
        PyErr_Clear();
        Py_EndInterpreter(sub);
        PyThreadState_Swap(main);
        EXPECT_TRUE(gil_gate::open());
    });
}

TEST(GilGate, IsNotOpenedAgainWhilePythonShutsDown) {
    interpreter python;
    python.start();
    std::optional<bool> opened;
    python.invoke([&] {
        py::import("atexit").attr("register")(py::make_function(
            [&] {
                EXPECT_TRUE(gil_gate::close());
                opened = gil_gate::open();
                PyErr_Clear();
            },
            py::default_call_policies(), boost::mpl::vector<void>()));
    });
    python.stop();
    EXPECT_EQ(opened, false);
}

TEST(GilGate, InAForkedChildOnlyTheThreadThatForkedIsIn) {
    interpreter python;
    python.start();
    std::promise<void> is_registered;
    std::promise<void> release;
    std::thread registered([&, released = release.get_future().share()] {
        gil_registration const at_the_gate("parents");
        std::stop_callback const not_in_the_child(at_the_gate.stop_token(), [&] { std::abort(); });
        is_registered.set_value();
        released.wait();
    });
    is_registered.get_future().wait();
    pid_t const child = python.invoke([] {
        PyOS_BeforeFork();
        pid_t const forked = fork();
        forked == 0 ? PyOS_AfterFork_Child() : PyOS_AfterFork_Parent();
        return forked;
    });
    if (child == 0) {
        alarm(5);  // shorter than the grace
        bool const in = is_let_in();
        python.stop();
        std::_Exit(in && !is_let_in() ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    release.set_value();
    registered.join();
    python.stop();
}

/// Python as somebody else starts it, who opens no gate; the GIL is held by the test.
class GateOfAStranger : public testing::Test {
protected:
    void SetUp() override { Py_InitializeEx(0); }
    void TearDown() override { Py_FinalizeEx(); }

    static void run(char const* code) { ASSERT_EQ(PyRun_SimpleString(code), 0); }

    /// Has gil_gate::open(), which asks threading, call `meanwhile` the first time.
    static void during_the_first_open(std::function<void()> const& meanwhile) {
        py::object threading = py::import("threading");
        py::object const answer = threading.attr("main_thread");
        threading.attr("main_thread") = py::make_function(
            [answer, first = std::make_shared<bool>(true), meanwhile] {
                if (std::exchange(*first, false)) {
                    handoff::gil_release while_others_have_their_turn;
                    meanwhile();
                }
                return answer();
            },
            py::default_call_policies(), boost::mpl::vector<py::object>());
    }

    static bool open() {
        handoff::gil_acquire gil;
        bool const opened = gil_gate::open();
        EXPECT_EQ(opened, PyErr_Occurred() == nullptr);
        return opened;
    }

    /// What open() said, when it returns false. GIL: held.
    static std::string reason() {
        EXPECT_FALSE(gil_gate::open());
        py::object const raised{py::handle<>(py::allow_null(handoff::take_raised_exception()))};
        return py::extract<std::string>(py::str(raised));
    }

    static bool close() {
        handoff::gil_acquire gil;
        return gil_gate::close();
    }
};

TEST_F(GateOfAStranger, AThreadThatRegisteredBetweenTwoOpenersIsAskedToStop) {
    std::latch is_registered(1);
    std::atomic<bool> was_asked = false;
    std::thread registered;
    during_the_first_open([&] {
        EXPECT_TRUE(on_another_thread(open));
        registered = std::thread([&] {
            gil_registration const at_the_gate("between");
            is_registered.count_down();
            while (!at_the_gate.stop_requested() && gil_gate::abandoned() == 0) {
                std::this_thread::yield();
            }
            was_asked = at_the_gate.stop_requested();
        });
        is_registered.wait();
    });
    ASSERT_TRUE(open());
    EXPECT_TRUE(close());
    {
        handoff::gil_release while_joining;
        registered.join();
    }
    EXPECT_TRUE(was_asked);
}

TEST_F(GateOfAStranger, IsNotOpenedByWhoBeganBeforeItWasClosed) {
    during_the_first_open([&] {
        EXPECT_TRUE(on_another_thread(open));
        EXPECT_TRUE(on_another_thread(close));
    });
    EXPECT_THAT(reason(), HasSubstr("opened and closed by others meanwhile"));
    EXPECT_FALSE(gil_gate::is_open());
    EXPECT_TRUE(open());
}

TEST_F(GateOfAStranger, ManyOpenItAtOnce) {
    run("import threading, sys; sys.setswitchinterval(1e-6)");
    for (int round = 0; round < 20; ++round) {
        {
            handoff::gil_release while_they_do;
            std::latch together(8);
            std::vector<std::jthread> openers;
            openers.reserve(8);
            for (int i = 0; i < 8; ++i) {
                openers.emplace_back([&] {
                    together.arrive_and_wait();
                    EXPECT_TRUE(open());
                    gil_registration const at_the_gate("opener");
                    EXPECT_TRUE(at_the_gate);
                    EXPECT_TRUE(at_the_gate.stop_token().stop_possible());
                });
            }
        }
        EXPECT_TRUE(close());
    }
}

/// Newcomers without a pause, while it opens and closes: nobody is in once it has closed.
void close_beside_newcomers(std::function<bool()> const& open, std::function<bool()> const& close) {
    for (int opening = 0; opening < 20; ++opening) {
        ASSERT_TRUE(open());
        std::atomic<bool> is_closed = false;
        std::latch all_were_in(3);
        std::array<std::future<void>, 3> newcomers;
        for (auto& each : newcomers) {
            each = std::async(std::launch::async, [&] {
                for (bool was_in = false; gil_gate::is_open();) {
                    gil_try_acquire const gil;
                    EXPECT_FALSE(gil && is_closed);
                    if (gil && !std::exchange(was_in, true)) {
                        all_were_in.count_down();
                    }
                }
            });
        }
        handoff::gil_release while_they_come;
        all_were_in.wait();
        EXPECT_TRUE(close());
        is_closed = true;
        for (auto& each : newcomers) {
            each.get();
        }
    }
}

TEST_F(GateOfAStranger, ClosesBesideNewcomers) {
    close_beside_newcomers(&open, &close);
    EXPECT_TRUE(handoff::detail::others_can_be_fenced);
}

TEST_F(GateOfAStranger, ClosesBesideNewcomersWhereTheKernelFencesNobody) {
    if (!can_forbid_calls()) {
        GTEST_SKIP() << "the system filters no system calls";
    }
    forbid_membarrier();
    close_beside_newcomers(&open, &close);
    EXPECT_FALSE(handoff::detail::others_can_be_fenced);
}

TEST_F(GateOfAStranger, IsNotOpenedWhileItCloses) {
    ASSERT_TRUE(open());
    std::latch is_registered(1);
    std::thread registered([&] {
        gil_registration const at_the_gate("opens again");
        is_registered.count_down();
        while (!at_the_gate.stop_requested()) {
            std::this_thread::yield();
        }
        gil_try_acquire const gil;
        EXPECT_THAT(reason(), HasSubstr("being closed"));
    });
    {
        handoff::gil_release while_waiting;
        is_registered.wait();
    }
    EXPECT_TRUE(gil_gate::close());
    {
        handoff::gil_release while_joining;
        registered.join();
    }
    EXPECT_TRUE(open());
}

TEST_F(GateOfAStranger, WhoClosesItSecondWaitsToo) {
    ASSERT_TRUE(open());
    std::latch is_registered(1);
    std::binary_semaphore may_leave(0);
    std::atomic<bool> was_let_in = false;
    std::thread registered([&] {
        gil_registration const at_the_gate("slow");
        is_registered.count_down();
        may_leave.acquire();
        gil_try_acquire const once_more;
        was_let_in = static_cast<bool>(once_more);
    });
    std::thread first([&] {
        is_registered.wait();
        EXPECT_TRUE(close());
    });
    std::thread second([&] {
        await_closing();
        handoff::gil_acquire gil;
        may_leave.release();  // which has to wait for the GIL, until this thread waits
        EXPECT_TRUE(gil_gate::close());
        EXPECT_TRUE(was_let_in);
    });
    handoff::gil_release while_joining;
    for (std::thread* const each : {&registered, &first, &second}) {
        each->join();
    }
}

TEST_F(GateOfAStranger, ARegistrationIsGrantedOrRefusedWhileTheGateOpensAndCloses) {
    run("import threading");
    ASSERT_TRUE(open());  // so that nobody is told that it was forgotten
    std::atomic<int> granted = 0;
    std::atomic<int> failed = 0;
    {
        handoff::gil_release while_they_do;
        std::vector<std::jthread> threads;
        threads.reserve(4);
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&](std::stop_token const& end) {
                while (!end.stop_requested()) {
                    try {
                        gil_registration const at_the_gate("storm");
                        granted += at_the_gate ? 1 : 0;
                    } catch (std::bad_alloc const&) {
                        ++failed;
                    }
                }
            });
        }
        for (int round = 0; round < 300 || granted == 0; ++round) {
            EXPECT_TRUE(close());
            EXPECT_TRUE(open());
        }
    }
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(gil_gate::abandoned(), 0U);
}

TEST_F(GateOfAStranger, InAForkedChildItIsNotClosingForEver) {
    ASSERT_TRUE(open());
    std::latch is_registered(1);
    std::binary_semaphore may_leave(0);
    std::thread registered([&] {
        gil_registration const at_the_gate("parents");
        is_registered.count_down();
        may_leave.acquire();
    });
    std::thread closer([&] {
        is_registered.wait();
        EXPECT_TRUE(close());
    });
    {
        handoff::gil_release while_waiting;
        await_closing();
    }
    PyOS_BeforeFork();
    pid_t const child = fork();
    if (child == 0) {
        alarm(5);  // shorter than the grace
        PyOS_AfterFork_Child();
        bool const closed = gil_gate::close();
        bool const opened = gil_gate::open();
        handoff::gil_release while_another_is_let_in;
        std::_Exit(closed && opened && on_another_thread(is_let_in) ? 0 : 1);
    }
    PyOS_AfterFork_Parent();
    may_leave.release();
    handoff::gil_release while_waiting;
    registered.join();
    closer.join();
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(GateOfAStranger, ForksBetweenOpeningAndClosingLeaveAGateThatWorks) {
    run("import atexit, threading");  // a module that is being imported is locked in the child
    std::jthread opener([](std::stop_token const& end) {
        while (!end.stop_requested()) {
            open();
            close();
        }
    });
    std::jthread visitor([](std::stop_token const& end) {
        while (!end.stop_requested()) {
            gil_registration const at_the_gate("visitor");
        }
    });
    for (int i = 0; i < 50; ++i) {
        PyOS_BeforeFork();
        pid_t const child = fork();
        if (child == 0) {
            alarm(5);
            PyOS_AfterFork_Child();
            bool const opened = gil_gate::open();
            bool const closed = gil_gate::close();
            std::_Exit(opened && closed ? 0 : 1);
        }
        PyOS_AfterFork_Parent();
        int status = -1;
        handoff::gil_release while_waiting;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << ", fork " << i;
    }
    handoff::gil_release while_they_end;
    for (std::jthread* const each : {&opener, &visitor}) {
        each->request_stop();
        each->join();
    }
}

constexpr auto forgotten =
    "handoff: gil_gate was never opened, so gil_try_acquire and gil_registration let no native "
    "thread into Python: call handoff::gil_gate::open() once, with the GIL held, for example in "
    "the module's init function\n";

TEST_F(GateOfAStranger, ThatWasForgottenIsToldOnce) {
    testing::internal::CaptureStderr();
    {
        handoff::gil_release while_they_ask;
        for (int i = 0; i < 3; ++i) {
            EXPECT_FALSE(on_another_thread(is_let_in));
            EXPECT_FALSE(on_another_thread([] { return bool(gil_registration("refused")); }));
            EXPECT_TRUE(on_another_thread(
                [] { return gil_registration("asked only whether to go on").stop_requested(); }));
        }
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), forgotten);
}

TEST_F(GateOfAStranger, IsNotMissedByWhoNeedsNone) {
    testing::internal::CaptureStderr();
    EXPECT_TRUE(is_let_in());  // it holds the GIL
    handoff::gil_owned<py::object> owned{py::object()};
    {
        handoff::gil_release while_they_run;
        std::thread([dropped = std::move(owned)] { handoff::gil_acquire gil; }).join();
        std::thread([] { handoff::gil_attachment attached; }).join();
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(GilGate, IsNotMissedBeforePythonHasStartedAndAfterItHasEnded) {
    testing::internal::CaptureStderr();
    EXPECT_FALSE(is_let_in());
    Py_InitializeEx(0);
    Py_FinalizeEx();
    EXPECT_FALSE(is_let_in());
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(GilGate, IsNotMissedByAThreadThatAsksWhilePythonStarts) {
    testing::internal::CaptureStderr();
    interpreter python;
    std::latch asks(1);
    std::jthread early([&](std::stop_token const& end) {
        for (bool first = true; !end.stop_requested(); first = false) {
            is_let_in();
            if (first) {
                asks.count_down();
            }
        }
    });
    asks.wait();
    python.start();
    early.request_stop();
    early.join();
    python.stop();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

HANDOFF_PYTHON_MODULE(opens_the_gate) {
    if (!gil_gate::open()) {
        throw py::error_already_set();
    }
    py::def("is_let_in", &is_let_in);
}

TEST(GilGate, AModuleThatCannotOpenItFailsToBeImportedWithTheReason) {
    PyImport_AppendInittab("opens_the_gate", &PyInit_opens_the_gate);
    Py_InitializeEx(0);
    EXPECT_EQ(PyRun_SimpleString(R"(
import atexit

def refuse(function, register=atexit.register):
    atexit.register = register
    raise ValueError("not today")

atexit.register = refuse
for reason in "not today", None:
    try:
        import opens_the_gate
    except ValueError as error:
        assert str(error) == reason, error
    else:
        assert reason is None
assert opens_the_gate.__name__ == "opens_the_gate"
assert opens_the_gate.is_let_in()
)"),
              0);
    EXPECT_TRUE(gil_gate::is_open());
    Py_FinalizeEx();
}

TEST_F(GateOfAStranger, CtrlCWhileItOpensIsNotSwallowed) {
    run(R"(
import threading
def main_thread(answer=threading.main_thread):
    threading.main_thread = answer
    raise KeyboardInterrupt
threading.main_thread = main_thread
)");
    EXPECT_FALSE(gil_gate::open());
    EXPECT_NE(PyErr_ExceptionMatches(PyExc_KeyboardInterrupt), 0);
    PyErr_Clear();
    EXPECT_TRUE(gil_gate::open());
}

TEST(GilOwned, GivenUpByAThreadThatIsTooLateGoesBeforePythonEnds) {
    interpreter python;
    python.start();
    handoff::gil_owned<py::object> owned;
    bool died = false;
    python.invoke([&] {
        py::handle<> const told(PyCapsule_New(&died, nullptr, [](PyObject* self) {
            *static_cast<bool*>(PyCapsule_GetPointer(self, nullptr)) = true;
        }));
        owned = handoff::gil_owned<py::object>(py::object(told));
    });
    std::promise<void> is_in;
    std::promise<void> dropped;
    std::thread in([&] {
        gil_try_acquire gil;
        handoff::gil_release while_waiting;
        is_in.set_value();
        dropped.get_future().wait();
    });
    is_in.get_future().wait();
    std::thread late([&] {
        await_closing();
        owned.reset();
        dropped.set_value();
    });
    python.stop();
    EXPECT_FALSE(owned);
    EXPECT_TRUE(died);
    late.join();
    in.join();
}

}  // namespace
