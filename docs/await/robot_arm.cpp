// robot_arm: a module whose native threads make results that Python awaits, and run coroutines.
#include <handoff/boost_python.hpp>
#include <handoff/completion_handler.hpp>
#include <handoff/python_promise.hpp>
#include <handoff/run_coroutine.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <future>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace py = boost::python;
using namespace std::chrono_literals;

handoff::awaitable<double> move_to(double angle) {
    if (angle < -180 || angle > 180) {
        throw std::invalid_argument("the arm turns from -180 to 180 degrees");
    }
    handoff::python_promise<double> promise;
    auto result = promise.get_awaitable();
    std::thread([promise = std::move(promise), angle]() mutable {
        std::stop_token const stop = promise.get_stop_token();
        double now = 0;
        while (now != angle && !stop.stop_requested()) {
            std::this_thread::sleep_for(1ms);
            now = angle;
        }
        promise.set_value(now);  // without the GIL; nobody has to be there any more
    }).detach();
    return result;
}

handoff::awaitable<int> weigh() {
    return std::async(std::launch::async, [] { return 42; });
}

// An interface that calls back, as many do.
void read_sensor(std::function<void(std::error_code, double)> done) {
    std::thread([done = std::move(done)] { done({}, 21.5); }).detach();
}

handoff::awaitable<double> temperature() {
    handoff::completion_handler<double> handler;
    read_sensor(handler);
    return handler.get_awaitable();
}

handoff::awaitable<std::string> ask(py::object const& function) {
    auto const loop = handoff::python_loop::running();
    handoff::gil_shared<py::object> const may_move(function);
    handoff::python_promise<std::string> promise;
    auto result = promise.get_awaitable();
    std::thread([=, promise = std::move(promise)]() mutable {  // which never holds the GIL
        try {
            auto answer = handoff::run_coroutine<bool>(loop, may_move, std::string("left"), 90.0);
            promise.set_value(answer.get_future().get() ? "moved" : "stayed");
        } catch (...) {
            promise.set_exception(std::current_exception());
        }
    })
        .detach();
    return result;
}

struct task {  // of a library of yours
    struct promise_type {
        task get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

task ask_twice(handoff::python_loop loop, handoff::gil_shared<py::object> may_move,
               handoff::python_promise<int> promise) {
    auto on_a_thread = [](std::coroutine_handle<> rest) { std::thread(rest).detach(); };
    try {
        auto first = handoff::run_coroutine<bool>(loop, may_move, std::string("left"), 90.0);
        bool const left = co_await first.resume_on(on_a_thread);
        bool const up =
            co_await handoff::run_coroutine<bool>(loop, may_move, std::string("up"), 9.0);
        promise.set_value(left + up);
    } catch (...) {
        promise.set_exception(std::current_exception());
    }
}

handoff::awaitable<int> count_answers(py::object const& function) {
    handoff::python_promise<int> promise;
    auto result = promise.get_awaitable();
    ask_twice(handoff::python_loop::running(), handoff::gil_shared<py::object>(function),
              std::move(promise));
    return result;
}

HANDOFF_PYTHON_MODULE(robot_arm) {
    py::def("move_to", &move_to);
    py::def("weigh", &weigh);
    py::def("temperature", &temperature);
    py::def("ask", &ask);
    py::def("count_answers", &count_answers);
}
