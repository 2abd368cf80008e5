// A device with a native thread of its own, whose measurements Python awaits.
#include <handoff/boost_python.hpp>
#include <handoff/python_promise.hpp>
#include <handoff/run_coroutine.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;

/// Squares, a little later; never, where the number is negative, but for a request to stop.
handoff::awaitable<int> measure(int number) {
    handoff::python_promise<int> promise;
    auto result = promise.get_awaitable();
    std::thread([promise = std::move(promise), number]() mutable {
        std::mutex mutex;
        std::condition_variable_any asked;
        std::unique_lock held(mutex);
        std::stop_token const stop = promise.get_stop_token();
        if (number < 0) {
            asked.wait(held, stop, [] { return false; });
        } else {
            asked.wait_for(held, stop, std::chrono::microseconds(number), [] { return false; });
        }
        promise.set_value(number * number);
    }).detach();
    return result;
}

/// Has function(number) run in this thread's loop, for a native thread, which awaits it by measure.
handoff::awaitable<int> ask_back(py::object const& function, int number) {
    auto const loop = handoff::python_loop::running();
    handoff::gil_shared<py::object> const asked(function);
    handoff::python_promise<int> promise;
    auto result = promise.get_awaitable();
    std::thread([promise = std::move(promise), loop, asked, number]() mutable {
        try {
            promise.set_value(handoff::run_coroutine<int>(loop, asked, number).get_future().get());
        } catch (...) {
            promise.set_exception(std::current_exception());
        }
    }).detach();
    return result;
}

}  // namespace

HANDOFF_PYTHON_MODULE(awaiter) {
    py::def("measure", &measure);
    py::def("ask_back", &ask_back);
}
