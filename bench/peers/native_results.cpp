// Module native_results: a native thread makes a result, and brings it to a coroutine in three
// ways.
#include <handoff/boost_python.hpp>
#include <handoff/python_promise.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;
using clock_type = std::chrono::steady_clock;

constexpr std::chrono::microseconds work(200);

std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               clock_type::now().time_since_epoch())
        .count();
}

/// A thread that works off what it is given, each after the same sleep. It lasts as long as the
/// process.
class worker {
public:
    worker() {
        std::thread([this] { run(); }).detach();
    }
    void give(std::function<void()> job) {
        std::scoped_lock const held(mutex_);
        jobs_.push(std::move(job));
        given_.notify_one();
    }

private:
    [[noreturn]] void run() {
        for (;;) {
            std::unique_lock held(mutex_);
            given_.wait(held, [this] { return !jobs_.empty(); });
            auto const job = std::move(jobs_.front());
            jobs_.pop();
            held.unlock();
            std::this_thread::sleep_for(work);
            job();
        }
    }

    std::mutex mutex_;
    std::condition_variable given_;
    std::queue<std::function<void()>> jobs_;
};

worker& only_worker() {
    static auto* const only = new worker();
    return *only;
}

std::atomic<std::int64_t> spent = 0;

/// How long the native thread took to bring the last result.
std::int64_t producer_spent() { return spent; }

/// Awaited: when the result was there.
handoff::awaitable<std::int64_t> by_promise() {
    auto const promise = std::make_shared<handoff::python_promise<std::int64_t>>();
    only_worker().give([promise] {
        auto const begin = now();
        promise->set_value(begin);
        spent = now() - begin;
    });
    return promise->get_awaitable();
}

/// Calls loop.call_soon_threadsafe(set_result, when the result was there), with the GIL.
void by_hand(py::object const& call_soon_threadsafe, py::object const& set_result) {
    handoff::gil_shared<py::object> const call(call_soon_threadsafe);
    handoff::gil_shared<py::object> const set(set_result);
    only_worker().give([call, set] {
        auto const begin = now();
        if (handoff::gil_try_acquire gil; gil) {
            call.get()(set.get(), begin);
        }
        spent = now() - begin;
    });
}

/// For a thread of a pool: the same sleep, without the GIL. Returns: when it was over.
std::int64_t in_executor() {
    std::this_thread::sleep_for(work);
    return now();
}

}  // namespace

HANDOFF_PYTHON_MODULE(native_results) {
    py::def("by_promise", &by_promise);
    py::def("by_hand", &by_hand);
    py::def("in_executor", handoff::without_gil(&in_executor));
    py::def("producer_spent", &producer_spent);
}
