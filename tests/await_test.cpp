// What native threads and Python's event loops give each other, seen from C++.
#include <handoff/completion_handler.hpp>
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>
#include <handoff/python_promise.hpp>
#include <handoff/run_coroutine.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/exec.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/import.hpp>
#include <boost/python/object.hpp>
#include <boost/python/tuple.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;
using handoff::python_loop;
using handoff::python_promise;

/// A new event loop of Python's. GIL: held.
py::object new_loop() { return py::import("asyncio").attr("new_event_loop")(); }

int result_of(py::object const& future) { return py::extract<int>(future.attr("result")(20)); }

/// Runs the loop in a native thread until stop().
class running_loop {
public:
    running_loop() {
        handoff::gil_acquire const gil;
        loop_ = handoff::gil_shared<py::object>(new_loop());
        known_ = std::make_unique<python_loop>(loop_.get());
        thread_ = std::thread([loop = loop_] {
            handoff::gil_acquire const to_run;
            loop.get().attr("run_forever")();
            loop.get().attr("close")();
        });
    }
    ~running_loop() { stop(); }
    running_loop(running_loop const&) = delete;
    running_loop& operator=(running_loop const&) = delete;

    [[nodiscard]] python_loop const& known() const { return *known_; }

    void stop() {
        if (thread_.joinable()) {
            {
                handoff::gil_acquire const gil;
                py::object const stop = loop_.get().attr("stop");
                loop_.get().attr("call_soon_threadsafe")(stop);
            }
            thread_.join();
        }
    }

private:
    handoff::gil_shared<py::object> loop_;
    std::unique_ptr<python_loop> known_;
    std::thread thread_;
};

/// A coroutine function: its code.
handoff::gil_shared<py::object> coroutine_function(char const* code) {
    handoff::gil_acquire const gil;
    py::dict globals;
    globals["__builtins__"] = py::import("builtins");
    py::exec(code, globals);
    return handoff::gil_shared<py::object>(globals["f"]);
}

TEST(PythonPromise, IsFulfilledWhileAnotherThreadHoldsTheGil) {
    handoff::interpreter python;
    python.start();
    handoff::gil_acquire const gil;
    python_promise<int> promise;
    py::object const future(promise.get_awaitable());
    std::thread([&] { promise.set_value(3); }).join();  // with the GIL held here
    EXPECT_EQ(result_of(future), 3);
}

TEST(PythonPromise, IsFulfilledOnce) {
    python_promise<int> promise;
    promise.set_value(1);
    EXPECT_THROW(promise.set_value(2), std::future_error);
    EXPECT_THROW(promise.set_exception(std::make_exception_ptr(std::runtime_error("late"))),
                 std::future_error);
    auto const moved = std::move(promise);
    // NOLINTNEXTLINE(bugprone-use-after-move): that is what is tested
    EXPECT_THROW(promise.set_value(2), std::future_error);
    EXPECT_FALSE(moved.get_stop_token().stop_requested());
}

TEST(PythonPromise, WhoseValueCannotBeMovedStaysOpen) {
    struct stubborn {
        stubborn() = default;
        ~stubborn() = default;
        stubborn(stubborn const&) = delete;
        stubborn& operator=(stubborn const&) = delete;
        stubborn(stubborn&&) { throw std::length_error("no"); }  // NOLINT: what is tested
        stubborn& operator=(stubborn&&) = delete;
    };
    python_promise<stubborn> promise;
    EXPECT_THROW(promise.set_value(stubborn()), std::length_error);
    EXPECT_NO_THROW(promise.set_exception(std::current_exception()));
}

TEST(PythonPromise, IsFulfilledAfterPythonHasEnded) {
    python_promise<int> promise;
    python_promise<int> broken;
    {
        handoff::interpreter python;
        python.start();
        handoff::gil_acquire const gil;
        py::object const future(promise.get_awaitable());
        py::object const other(broken.get_awaitable());
        py::import("builtins").attr("kept") = py::make_tuple(future, other);
    }
    std::thread([&] { promise.set_value(1); }).join();
}

TEST(PythonPromise, OfAFutureThatIsDroppedIsAskedToStop) {
    handoff::interpreter python;
    python.start();
    std::promise<void> asked;
    python_promise<int> promise;
    std::stop_callback const stop(promise.get_stop_token(), [&] {
        EXPECT_FALSE(handoff::gil_held());
        asked.set_value();
    });
    {
        handoff::gil_acquire const gil;
        py::object const future(promise.get_awaitable());
        future.attr("cancel")();
    }
    asked.get_future().get();
}

TEST(CompletionHandler, SharesItsResultWithItsCopies) {
    handoff::interpreter python;
    python.start();
    handoff::completion_handler<int> const handler;
    std::thread([copy = handler] { copy(std::error_code(), 5); }).join();
    EXPECT_THROW(handler(6), std::future_error);
    handoff::gil_acquire const gil;
    EXPECT_EQ(result_of(py::object(handler.get_awaitable())), 5);
}

TEST(RunCoroutine, GivesAFutureToAThreadThatNeverHoldsTheGil) {
    handoff::interpreter python;
    python.start();
    running_loop const loop;
    auto const doubled = coroutine_function("async def f(of): return 2 * of");
    EXPECT_EQ(handoff::run_coroutine<int>(loop.known(), doubled, 4).get_future().get(), 8);
    EXPECT_EQ(handoff::run_coroutine<std::string>(loop.known(), doubled, std::string("ab"))
                  .get_future()
                  .get(),
              "abab");
}

TEST(RunCoroutine, IsAskedForWhileAnotherThreadHoldsTheGil) {
    handoff::interpreter python;
    python.start();
    running_loop const loop;
    auto const doubled = coroutine_function("async def f(of): return 2 * of");
    std::future<int> result;
    {
        handoff::gil_acquire const gil;
        std::thread([&] {
            result = handoff::run_coroutine<int>(loop.known(), doubled, 4).get_future();
        }).join();
    }
    EXPECT_EQ(result.get(), 8);
}

TEST(RunCoroutine, ThrowsWhatPythonRaises) {
    handoff::interpreter python;
    python.start();
    running_loop const loop;
    auto const failing = coroutine_function("async def f(): raise KeyError(3)");
    try {
        handoff::run_coroutine<void>(loop.known(), failing).get_future().get();
        FAIL() << "it threw nothing";
    } catch (handoff::python_error const& error) {
        EXPECT_EQ(error.type(), "KeyError");
        EXPECT_THAT(error.traceback(), testing::HasSubstr("in f"));
    }
}

TEST(RunCoroutine, IsCancelled) {
    handoff::interpreter python;
    python.start();
    running_loop const loop;
    auto const waiting =
        coroutine_function("import asyncio\nasync def f(): await asyncio.Event().wait()");
    auto run = handoff::run_coroutine<void>(loop.known(), waiting);
    run.cancel();
    auto future = run.get_future();
    EXPECT_THROW(future.get(), handoff::python_error);
    run.cancel();  // it has ended
}

TEST(RunCoroutine, OfALoopThatIsClosedThrows) {
    handoff::interpreter python;
    python.start();
    running_loop loop;
    auto const waiting =
        coroutine_function("import asyncio\nasync def f(): await asyncio.Event().wait()");
    auto run = handoff::run_coroutine<void>(loop.known(), waiting);
    loop.stop();
    auto future = run.get_future();
    EXPECT_THROW(future.get(), handoff::loop_closed);
    auto later = handoff::run_coroutine<void>(loop.known(), waiting).get_future();
    EXPECT_THROW(later.get(), handoff::loop_closed);
}

TEST(RunCoroutine, AfterPythonHasEndedThrows) {
    std::optional<python_loop> loop;
    handoff::gil_shared<py::object> function;
    {
        handoff::interpreter python;
        python.start();
        function = coroutine_function("async def f(): pass");
        handoff::gil_acquire const gil;
        py::object const kept = new_loop();
        py::import("builtins").attr("kept") = kept;
        loop.emplace(kept);
    }
    auto late = handoff::run_coroutine<void>(*loop, function).get_future();
    EXPECT_THROW(late.get(), handoff::loop_closed);
}

}  // namespace
