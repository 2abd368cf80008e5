// Functions whose results Python awaits, and that have Python's loop run coroutines.
#include <handoff/boost_python.hpp>
#include <handoff/completion_handler.hpp>
#include <handoff/python_promise.hpp>
#include <handoff/run_coroutine.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::awaitable;
using handoff::python_promise;

/// What a registered translator makes a LookupError.
struct no_such_item : std::exception {};

/// Its conversion says in which thread it is converted, and whether that holds the GIL.
struct where_converted {};
struct where_to_python {
    static PyObject* convert(where_converted const&) {
        return handoff::gil_held() ? PyLong_FromUnsignedLong(PyThread_get_thread_ident()) : nullptr;
    }
};
struct unconvertible {};

/// Promises that a script fulfils, in threads without the GIL.
class hands {
public:
    awaitable<int> ask() {
        std::scoped_lock const held(guard_);
        return open_.emplace_back().get_awaitable();
    }

    /// All in one native thread.
    void give(int value) {
        auto open = take();
        handoff::gil_release while_joining;
        std::jthread([&] {
            for (auto& each : open) {
                each.set_value(value);
            }
        });
    }

    void drop() { take(); }

    [[nodiscard]] int asked_to_stop() {
        std::scoped_lock const held(guard_);
        int count = 0;
        for (auto const& each : open_) {
            count += each.get_stop_token().stop_requested() ? 1 : 0;
        }
        return count;
    }

private:
    std::vector<python_promise<int>> take() {
        std::scoped_lock const held(guard_);
        return std::exchange(open_, {});
    }

    std::mutex guard_;
    std::vector<python_promise<int>> open_;
};

/// Has a native thread of its own call f(promise).
template <class T, class F>
awaitable<T> in_thread(F const& f) {
    python_promise<T> promise;
    auto result = promise.get_awaitable();
    std::thread([promise = std::move(promise), f]() mutable { f(promise); }).detach();
    return result;
}

awaitable<int> square(int of) {
    return in_thread<int>([of](auto& promise) { promise.set_value(of * of); });
}

awaitable<void> nothing() {
    return in_thread<void>([](auto& promise) { promise.set_value(); });
}

awaitable<where_converted> converted() {
    return in_thread<where_converted>([](auto& promise) { promise.set_value(where_converted()); });
}

awaitable<unconvertible> not_converted() {
    return in_thread<unconvertible>([](auto& promise) { promise.set_value(unconvertible()); });
}

template <class Error>
awaitable<int> fail() {
    return in_thread<int>(
        [](auto& promise) { promise.set_exception(std::make_exception_ptr(Error())); });
}

struct invalid : std::invalid_argument {
    invalid() : std::invalid_argument("no such frequency: -1 Hz") {}
};

/// Raises what `raise` raises.
awaitable<int> raised(py::object const& raise) {
    python_promise<int> promise;
    try {
        raise();
    } catch (py::error_already_set const&) {
        promise.set_exception(std::make_exception_ptr(handoff::python_error::fetch()));
    }
    return promise.get_awaitable();
}

/// Until it is asked to stop; returns how. Counts itself while it runs.
std::atomic<int> running = 0;
awaitable<std::string> until_stopped() {
    ++running;
    return in_thread<std::string>([](auto& promise) {
        std::promise<bool> asked;
        std::stop_callback const stop(promise.get_stop_token(),
                                      [&] { asked.set_value(handoff::gil_held()); });
        promise.set_value(asked.get_future().get() ? "with the GIL" : "without the GIL");
        --running;
    });
}

awaitable<std::string> from_future() {
    return std::async(std::launch::async, [] { return std::string("from a future"); });
}

awaitable<std::string> from_failing_future() {
    return std::async(std::launch::async, []() -> std::string { throw invalid(); });
}

awaitable<void> from_shared_future() {
    return std::async(std::launch::async, [] {}).share();
}

awaitable<int> from_deferred_future() {
    return std::async(std::launch::deferred, [] { return 1; });
}

awaitable<int> from_empty_future() { return std::future<int>(); }

/// The std::futures of many promises, which are fulfilled in reverse.
py::list from_futures(int count) {
    std::vector<std::promise<int>> promises(static_cast<std::size_t>(count));
    py::list futures;
    for (auto& each : promises) {
        futures.append(awaitable(each.get_future()));
    }
    std::thread([promises = std::move(promises)]() mutable {
        for (auto value = static_cast<int>(promises.size()); value-- > 0;) {
            promises[static_cast<std::size_t>(value)].set_value(value);
        }
    }).detach();
    return futures;
}

/// As Asio calls: void(error_code, T).
awaitable<int> by_handler(int error) {
    handoff::completion_handler<int> const handler;
    auto result = handler.get_awaitable();
    std::thread([handler, error] {
        handler(std::error_code(error, std::generic_category()), 7);
    }).detach();
    return result;
}

/// A Python object, held by what any thread may drop.
using shared_object = handoff::gil_shared<py::object>;
struct shared_to_python {
    static PyObject* convert(shared_object const& converted) {
        return py::incref(converted.get().ptr());
    }
};
awaitable<shared_object> the_same(py::object const& object) {
    return in_thread<shared_object>(
        [shared = shared_object(object)](auto& promise) { promise.set_value(shared); });
}

/// What is in braces makes the value.
awaitable<std::string> of_braces() {
    python_promise<std::string> promise;
    promise.set_value({'a', 'b'});
    return promise.get_awaitable();
}

awaitable<void> by_handler_that_is_dropped() {
    return handoff::completion_handler<void>().get_awaitable();
}

awaitable<int> of_null_exception() {
    handoff::python_promise<int> promise;
    promise.set_exception(nullptr);
    return promise.get_awaitable();
}

awaitable<void> by_handler_of_success() {
    handoff::completion_handler<void> const handler;
    handler(std::exception_ptr());
    return handler.get_awaitable();
}

/// Both in one: two futures of one result.
py::tuple twice() {
    python_promise<int> promise;
    auto const result = promise.get_awaitable();
    py::tuple const both = py::make_tuple(result, result);
    std::thread([promise = std::move(promise)]() mutable { promise.set_value(1); }).detach();
    return both;
}

/// A result of many small ones, one after the other, from one thread that never holds the GIL.
py::list many(int count) {
    std::vector<python_promise<int>> promises(static_cast<std::size_t>(count));
    py::list futures;
    for (auto const& each : promises) {
        futures.append(each.get_awaitable());
    }
    std::thread([promises = std::move(promises)]() mutable {
        for (int value = 0; auto& each : promises) {
            each.set_value(value++);
        }
    }).detach();
    return futures;
}

using handoff::python_loop;
using handoff::run_coroutine;

/// Has `function(argument)` run in the loop, from a native thread; the text is what it gets.
template <class T>
std::string outcome(handoff::coroutine_result<T> run) {
    try {
        if constexpr (std::is_void_v<T>) {
            run.get_future().get();
            return "nothing";
        } else {
            return std::to_string(run.get_future().get());
        }
    } catch (handoff::python_error const& error) {
        return error.type() + ": " + error.message();
    } catch (std::exception const& error) {
        return error.what();
    }
}

/// Gives `told` the outcome, in a native thread that does not hold the GIL before.
template <class Run>
void tell(handoff::callback<void(std::string)> told, Run run) {
    std::thread([told = std::move(told), run = std::move(run)]() mutable {
        told(outcome(run()));
    }).detach();
}

using told = handoff::callback<void(std::string)>;

void run_int(py::object const& loop, py::object const& function, int argument,
             py::object const& to) {
    tell(told(to), [loop = python_loop(loop), argument,
                    function = handoff::gil_shared<py::object>(function)] {
        return run_coroutine<int>(loop, function, argument);
    });
}

void run_void(py::object const& loop, py::object const& coroutine, py::object const& to) {
    tell(told(to), [loop = python_loop(loop),
                    coroutine = handoff::gil_owned<py::object>(coroutine)]() mutable {
        return run_coroutine<void>(loop, std::move(coroutine));
    });
}

/// A loop that a script keeps, and may close before it asks.
class loops {
public:
    explicit loops(py::object const& loop) : loop_(loop) {}

    std::string run(py::object const& function) {
        handoff::gil_shared<py::object> const shared(function);
        handoff::gil_release while_waiting;
        return outcome(run_coroutine<int>(loop_, shared));
    }

    /// Cancelled by a stop token, as soon as started() was called.
    void start(py::object const& function, py::object const& to) {
        handoff::gil_shared<py::object> const shared(function);
        std::thread([loop = loop_, shared, to = told(to), token = stop_.get_token()] {
            auto run = run_coroutine<int>(loop, shared);
            run.cancel_with(token);
            auto future = run.get_future();
            try {
                to(std::to_string(future.get()));
            } catch (handoff::python_error const& error) {
                to(error.type());
            } catch (std::exception const& error) {
                to(error.what());
            }
        }).detach();
    }
    void stop() {
        handoff::gil_release while_callbacks_run;
        stop_.request_stop();
    }

private:
    python_loop loop_;
    std::stop_source stop_;
};

struct detached {
    struct promise_type {
        detached get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

/// Of each thread: an ended one's number may be a new one's.
thread_local bool is_elsewhere = false;

/// Adds up what two coroutines return, and says where it goes on.
detached add(python_loop loop, handoff::gil_shared<py::object> function, told to) {
    int const one = co_await run_coroutine<int>(loop, function, 1);
    bool const held = handoff::gil_held();
    auto other = run_coroutine<int>(loop, function, 2);
    auto elsewhere = [](std::coroutine_handle<> rest) {
        std::thread([rest] {
            is_elsewhere = true;
            rest();
        }).detach();
    };
    int const two = co_await other.resume_on(elsewhere);
    to(std::to_string(one + two) + (held ? " with" : " without") +
       (is_elsewhere ? " elsewhere" : " here"));
}

void co_await_sum(py::object const& loop, py::object const& function, py::object const& to) {
    std::thread([loop = python_loop(loop), function = handoff::gil_shared<py::object>(function),
                 to = told(to)] {
        add(loop, function, to);
    }).detach();
}

detached wait_and_tell(python_loop loop, handoff::gil_shared<py::object> function, told to) {
    std::string outcome = "it ended";
    try {
        co_await run_coroutine<int>(loop, function);
    } catch (handoff::loop_closed const&) {
        outcome = "closed";
    } catch (handoff::python_error const& error) {
        outcome = error.type();
    }
    to(outcome);
}

void co_await_one(py::object const& loop, py::object const& function, py::object const& to) {
    wait_and_tell(python_loop(loop), handoff::gil_shared<py::object>(function), told(to));
}

}  // namespace

HANDOFF_PYTHON_MODULE(awaitables) {
    py::to_python_converter<where_converted, where_to_python>();
    py::register_exception_translator<no_such_item>(
        [](no_such_item const&) { PyErr_SetString(PyExc_LookupError, "there is no such item"); });
    py::class_<hands, boost::noncopyable>("Hands")
        .def("ask", &hands::ask)
        .def("give", &hands::give)
        .def("drop", &hands::drop)
        .def("asked_to_stop", &hands::asked_to_stop);
    py::def("square", handoff::without_gil(&square));
    py::def("nothing", &nothing);
    py::def("converted", &converted);
    py::def("not_converted", &not_converted);
    py::def("fail", &fail<invalid>);
    py::def("fail_as_translated", &fail<no_such_item>);
    py::def("raised", &raised);
    py::def("until_stopped", &until_stopped);
    py::def("running", +[] { return running.load(); });
    py::def("from_future", &from_future);
    py::def("from_failing_future", &from_failing_future);
    py::def("from_shared_future", &from_shared_future);
    py::def("from_deferred_future", &from_deferred_future);
    py::def("from_empty_future", &from_empty_future);
    py::def("from_futures", &from_futures);
    py::def("by_handler", &by_handler);
    py::to_python_converter<shared_object, shared_to_python>();
    py::def("the_same", &the_same);
    py::def("of_braces", &of_braces);
    py::def("by_handler_that_is_dropped", &by_handler_that_is_dropped);
    py::def("of_null_exception", &of_null_exception);
    py::def("by_handler_of_success", &by_handler_of_success);
    py::def("twice", &twice);
    py::def("many", &many);
    py::def("run_int", &run_int);
    py::def("run_void", &run_void);
    py::def("co_await_sum", &co_await_sum);
    py::def("co_await_one", &co_await_one);
    py::class_<loops, boost::noncopyable>("Loop", py::init<py::object>())
        .def("run", &loops::run)
        .def("start", &loops::start)
        .def("stop", &loops::stop);
}
