// Module attached: native threads that take the GIL, or call Python, for a while; counts how often.
#include <handoff/boost_python.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace {

namespace py = boost::python;

/// Has each thread do it again and again for so many seconds. How often all of them did.
template <class Work>
std::uint64_t count(std::vector<Work> const& of_each, double seconds) {
    std::atomic<bool> ends = false;
    std::atomic<std::uint64_t> done = 0;
    std::vector<std::thread> threads;
    threads.reserve(of_each.size());
    for (Work const& work : of_each) {
        threads.emplace_back([&, work] {
            std::uint64_t own = 0;
            for (; !ends.load(std::memory_order_relaxed); ++own) {
                work();
            }
            done += own;
        });
    }
    handoff::gil_release while_they_work;
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    ends = true;
    for (auto& each : threads) {
        each.join();
    }
    return done;
}

std::uint64_t holds(std::size_t threads, double seconds) {
    auto const hold = [] { handoff::gil_acquire gil; };
    return count(std::vector(threads, hold), seconds);
}

/// Of each callable, by a thread of its own.
std::uint64_t calls(py::list const& callables, double seconds) {
    std::vector<handoff::callback<void(int)>> all;
    for (py::ssize_t each = 0; each < py::len(callables); ++each) {
        all.emplace_back(py::object(callables[each]));
    }
    std::vector<std::function<void()>> of_each;
    of_each.reserve(all.size());
    for (auto const& callback : all) {
        of_each.emplace_back([&callback] { callback(1); });
    }
    return count(of_each, seconds);
}

}  // namespace

HANDOFF_PYTHON_MODULE(attached, handoff::gil_not_used) {
    py::def("holds", &holds);
    py::def("calls", &calls);
}
