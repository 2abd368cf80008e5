// gil_wait, interruptible_call: waits without the GIL, and what ends them.
#include "embedded_python.hpp"
#include "with_and_without_gil.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;
using handoff::gil_acquire;
using handoff::gil_held;
using handoff::gil_release;
using handoff::gil_unique_lock;
using handoff::gil_wait;
using handoff::gil_wait_for;
using handoff::interruptible_call;
using std::chrono::milliseconds;

/// With the GIL, and without it; with the GIL, in Python's main thread.
class GilWait : public with_and_without_gil {
protected:
    /// Calls done(), when it has had the GIL: so who waits for that has released it.
    template <class Done>
    [[nodiscard]] static std::jthread another(Done done) {
        return std::jthread([done]() mutable {
            {
                gil_acquire gil;
            }
            done();
        });
    }
};
INSTANTIATE_TEST_SUITE_P(Where, GilWait, testing::Bool(), with_and_without_gil::name);

TEST_P(GilWait, ForAFuture) {
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    EXPECT_FALSE(gil_wait_for(future, milliseconds(1)));
    auto const fulfils = another([&] { promise.set_value(1); });
    gil_wait(future);
    EXPECT_EQ(future.get(), 1);
}

TEST_P(GilWait, ForASharedFuture) {
    std::promise<void> promise;
    std::shared_future<void> const future = promise.get_future().share();
    auto const fulfils = another([&] { promise.set_value(); });
    EXPECT_TRUE(gil_wait_for(future, std::chrono::hours::max()));
}

TEST_P(GilWait, ForADeferredFutureNot) {
    auto const future = std::async(std::launch::deferred, [] {});
    gil_wait(future);
}

TEST_P(GilWait, ForASemaphore) {
    std::counting_semaphore<4> semaphore(0);
    EXPECT_FALSE(gil_wait_for(semaphore, std::chrono::duration<double>(0.001)));
    auto const releases = another([&] { semaphore.release(); });
    gil_wait(semaphore);
    EXPECT_FALSE(semaphore.try_acquire());
}

TEST_P(GilWait, ForALatch) {
    std::latch latch(1);
    EXPECT_FALSE(gil_wait_for(latch, milliseconds(3)));
    auto const counts = another([&] { latch.count_down(); });
    gil_wait(latch);
    EXPECT_TRUE(gil_wait_for(latch, milliseconds(-1)));
}

TEST_P(GilWait, ForWhatWaitsUntilATime) {
    std::atomic<bool> is_there = false;
    auto const sets = another([&] { is_there = true; });
    gil_wait([&](std::chrono::steady_clock::time_point until) {
        EXPECT_FALSE(gil_held());
        while (!is_there && std::chrono::steady_clock::now() < until) {
            std::this_thread::yield();
        }
        return is_there.load();
    });
    EXPECT_TRUE(is_there);
}

template <class Changed, class Lock>
class locked_wait {
public:
    /// Of a thread that takes the GIL, and then the mutex.
    template <class Another>
    void is_ended_by(Another another) {
        Lock held(mutex_);
        auto const readies = another([this] {
            {
                std::scoped_lock its(mutex_);
                is_ready_ = true;
            }
            changed_.notify_one();
        });
        gil_wait(changed_, held, [this, &held] {
            EXPECT_FALSE(gil_held());
            EXPECT_TRUE(held.owns_lock());
            return is_ready_;
        });
        EXPECT_TRUE(held.owns_lock());
        EXPECT_TRUE(is_ready_);
        EXPECT_TRUE(gil_wait_for(changed_, held, milliseconds(-1), [] { return true; }));
    }

    void ends_in_time() {
        Lock held(mutex_);
        EXPECT_FALSE(gil_wait_for(changed_, held, milliseconds(1), [] { return false; }));
        EXPECT_TRUE(held.owns_lock());
        EXPECT_FALSE(gil_wait_for(changed_, held, milliseconds(250), [] { return false; }));
        EXPECT_TRUE(held.owns_lock());
    }

    void throws() {
        Lock held(mutex_);
        auto const fails = []() -> bool { throw std::runtime_error("no"); };
        EXPECT_THROW(gil_wait(changed_, held, fails), std::runtime_error);
        EXPECT_TRUE(held.owns_lock());
        held.unlock();
        EXPECT_THROW(gil_wait(changed_, held, fails), std::system_error);
    }

private:
    std::mutex mutex_;
    Changed changed_;
    bool is_ready_ = false;
};

TEST_P(GilWait, ForAConditionVariable) {
    locked_wait<std::condition_variable, gil_unique_lock<std::mutex>> wait;
    wait.is_ended_by([](auto done) { return another(done); });
    wait.ends_in_time();
    wait.throws();
}

TEST_P(GilWait, ForAConditionVariableWithAStandardLock) {
    locked_wait<std::condition_variable, std::unique_lock<std::mutex>> wait;
    wait.is_ended_by([](auto done) { return another(done); });
    wait.ends_in_time();
    wait.throws();
}

TEST_P(GilWait, ForAnyConditionVariable) {
    locked_wait<std::condition_variable_any, gil_unique_lock<std::mutex>> wait;
    wait.is_ended_by([](auto done) { return another(done); });
    wait.ends_in_time();
    wait.throws();
}

/// A signal whose handler raises KeyboardInterrupt, as Ctrl-C; after it has called observe(), with
/// the GIL.
class GilWaitInTheMainThread : public testing::Test {
protected:
    void SetUp() override {
        observe = [] {};
        static PyMethodDef method = {.ml_name = "observe",
                                     .ml_meth = [](PyObject*, PyObject*) -> PyObject* {
                                         observe();
                                         return Py_NewRef(Py_None);
                                     },
                                     .ml_flags = METH_NOARGS,
                                     .ml_doc = nullptr};
        embedded_python::python().invoke([] {
            py::import("__main__").attr("observe") =
                py::object(py::handle<>(PyCFunction_New(&method, nullptr)));
        });
        embedded_python::python().run_string(
            "import signal\n"
            "def handler(number, frame):\n"
            "    observe()\n"
            "    raise KeyboardInterrupt('pressed')\n"
            "signal.signal(signal.SIGUSR1, handler)\n"
            "signal.signal(signal.SIGUSR2, lambda number, frame: observe())\n");
    }

    template <class Wait>
    static void expect_interrupt(Wait wait) {
        try {
            wait();
            ADD_FAILURE() << "no exception";
        } catch (handoff::python_error const& error) {
            EXPECT_EQ(error.type(), "KeyboardInterrupt");
            EXPECT_EQ(error.message(), "pressed");
            EXPECT_NE(error.traceback().find("in handler"), std::string::npos);
        }
        EXPECT_TRUE(gil_held());
        EXPECT_EQ(PyErr_Occurred(), nullptr);
    }

    static inline std::function<void()> observe;
};

TEST_F(GilWaitInTheMainThread, IsEndedByAHandlerThatRaises) {
    gil_acquire gil;
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    raise(SIGUSR1);
    expect_interrupt([&] { gil_wait(future); });
    EXPECT_TRUE(future.valid());

    std::jthread later([main = pthread_self()] { pthread_kill(main, SIGUSR1); });
    std::latch latch(1);
    expect_interrupt([&] { gil_wait(latch); });

    raise(SIGUSR1);
    expect_interrupt([&] { static_cast<void>(gil_wait_for(future, milliseconds(1))); });
}

TEST_F(GilWaitInTheMainThread, GoesOnAfterAHandlerThatReturns) {
    gil_acquire gil;
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    observe = [&] { promise.set_value(1); };
    raise(SIGUSR2);
    gil_wait(future);
    EXPECT_EQ(future.get(), 1);
}

TEST_F(GilWaitInTheMainThread, DoesNotLoseWhatIsThere) {
    gil_acquire gil;
    std::binary_semaphore semaphore(1);
    raise(SIGUSR1);
    gil_wait(semaphore);
    EXPECT_FALSE(semaphore.try_acquire());
    expect_interrupt([] {  // which the next Python code hears of
        embedded_python::python().run_string("for each in range(1000): pass");
    });
}

TEST_F(GilWaitInTheMainThread, RunsHandlersWhileTheMutexIsFree) {
    std::mutex mutex;
    std::condition_variable changed;
    bool was_free = false;
    observe = [&] {
        std::thread([&] {
            was_free = mutex.try_lock();
            if (was_free) {
                mutex.unlock();
            }
        }).join();
    };
    gil_acquire gil;
    gil_unique_lock held(mutex);
    raise(SIGUSR1);
    expect_interrupt([&] { gil_wait(changed, held, [] { return false; }); });
    EXPECT_TRUE(was_free);
    EXPECT_TRUE(held.owns_lock());
    raise(SIGUSR1);
    expect_interrupt([&] {
        static_cast<void>(gil_wait_for(changed, held, milliseconds(1), [] { return false; }));
    });
    EXPECT_TRUE(held.owns_lock());
}

TEST(GilWaitAtPythonsEnd, ReturnsLockedWhereTheGateIsClosed) {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_ready = false;
    gil_acquire gil;
    EXPECT_TRUE(handoff::gil_gate::close());
    gil_unique_lock held(mutex);
    std::jthread readies([&] {
        {
            std::scoped_lock its(mutex);
            is_ready = true;
        }
        changed.notify_one();
    });
    gil_wait(changed, held, [&] { return is_ready; });
    EXPECT_TRUE(held.owns_lock());
    EXPECT_TRUE(gil_held());
    held.unlock();
}

class InterruptibleCall : public GilWaitInTheMainThread {};

TEST_F(InterruptibleCall, RunsElsewhereInTheMainThreadAndReturnsWhatItReturns) {
    gil_acquire gil;
    auto const here = std::this_thread::get_id();
    auto const call = [](std::stop_token const& stop) {
        EXPECT_FALSE(gil_held());
        EXPECT_TRUE(stop.stop_possible());
        EXPECT_FALSE(stop.stop_requested());
        gil_acquire its;  // which the caller has released
        return std::this_thread::get_id();
    };
    EXPECT_NE(interruptible_call(call), here);
    int value = 3;
    int& same = interruptible_call([&](std::stop_token const&) -> int& { return value; });
    EXPECT_EQ(&same, &value);
    interruptible_call([&](std::stop_token const&) { value = 4; });
    EXPECT_EQ(value, 4);
    EXPECT_THROW(interruptible_call([](std::stop_token const&) { throw std::runtime_error("no"); }),
                 std::runtime_error);
    EXPECT_TRUE(gil_held());
}

TEST_F(InterruptibleCall, IsStoppedByAHandlerThatRaisesAndHasEndedThen) {
    gil_acquire gil;
    std::atomic<bool> has_ended = false;
    raise(SIGUSR1);
    expect_interrupt([&] {
        interruptible_call([&](std::stop_token const& stop) {
            std::mutex mutex;
            std::unique_lock held(mutex);
            std::condition_variable_any().wait(held, stop, [] { return false; });
            gil_acquire its;
            has_ended = true;
            throw std::runtime_error("dropped");
        });
    });
    EXPECT_TRUE(has_ended);
}

TEST_F(InterruptibleCall, RunsInPlaceInAnyOtherThread) {
    std::thread([] {
        gil_acquire gil;
        auto const call = [](std::stop_token const&) {
            EXPECT_FALSE(gil_held());
            return std::this_thread::get_id();
        };
        EXPECT_EQ(interruptible_call(call), std::this_thread::get_id());
        EXPECT_TRUE(gil_held());
        gil_release without;
        EXPECT_EQ(interruptible_call(call), std::this_thread::get_id());
        EXPECT_FALSE(gil_held());
    }).join();
}

TEST_F(InterruptibleCall, IsStoppedByTheClosingGateAndAtOnceAfterwards) {
    std::latch begun(1);
    auto const until_it_is_stopped = [&](std::stop_token const& stop) {
        begun.count_down();
        std::mutex mutex;
        std::unique_lock held(mutex);
        std::condition_variable_any().wait(held, stop, [] { return false; });
    };
    std::jthread python([&] {
        gil_acquire gil;
        interruptible_call(until_it_is_stopped);
        EXPECT_TRUE(gil_held());
    });
    begun.wait();
    gil_acquire gil;
    EXPECT_TRUE(handoff::gil_gate::close());
    {
        gil_release to_join;
        python.join();
    }
    EXPECT_TRUE(
        interruptible_call([](std::stop_token const& stop) { return stop.stop_requested(); }));
}

TEST_F(InterruptibleCall, InTheMainThreadIsStoppedByAGateThatAnotherCloses) {
    std::latch begun(1);
    std::jthread closes([&] {
        begun.wait();
        gil_acquire gil;
        EXPECT_TRUE(handoff::gil_gate::close());
    });
    gil_acquire gil;
    interruptible_call([&](std::stop_token const& stop) {
        begun.count_down();
        std::mutex mutex;
        std::unique_lock held(mutex);
        std::condition_variable_any().wait(held, stop, [] { return false; });
    });
}

}  // namespace
