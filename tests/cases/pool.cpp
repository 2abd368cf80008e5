// A library class joins its thread in its destructor, which Python's deallocation runs.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;

struct pool {  // somebody else's class
    std::atomic<bool> go{true};
    std::function<void()> job;
    std::thread t;
    explicit pool(std::function<void()> j)
        : job(std::move(j)), t([this] {
              while (go) {
                  job();
                  std::this_thread::sleep_for(std::chrono::milliseconds(1));
              }
          }) {}
    pool(pool const&) = delete;
    pool& operator=(pool const&) = delete;
    ~pool() {
        go = false;
        t.join();
    }
};

}  // namespace

HANDOFF_PYTHON_MODULE(pool) {
    handoff::register_callback<void()>({.on_error = &handoff::python_error::report});
    py::class_<pool, handoff::released_ptr<pool>, boost::noncopyable>(
        "Pool", py::init<std::function<void()>>());
}
