// A coroutine that calls Python, and after each wait goes on on another thread.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <coroutine>
#include <exception>
#include <future>

namespace {

namespace py = boost::python;

struct task {
    struct promise_type {
        std::promise<void> is_over;
        task get_return_object() { return {is_over.get_future()}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() { is_over.set_value(); }
        void unhandled_exception() { is_over.set_exception(std::current_exception()); }
    };
    std::future<void> is_over;
};

struct elsewhere {
    boost::asio::thread_pool& threads;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> rest) const { boost::asio::post(threads, rest); }
    void await_resume() const noexcept {}
};

task request(handoff::gil_shared<py::list> answers, int count, boost::asio::thread_pool& threads) {
    for (int i = 0; i < count; ++i) {
        if (handoff::gil_try_acquire gil; gil) {  // not beyond this statement
            answers.get().append(i);
        }
        co_await elsewhere{threads};
    }
}

void run(py::list const& answers, int count) {
    handoff::gil_shared<py::list> const owned(answers);
    handoff::gil_release meanwhile;
    boost::asio::thread_pool threads(3);
    request(owned, count, threads).is_over.get();
}

}  // namespace

HANDOFF_PYTHON_MODULE(session) { py::def("run", &run); }
