// counter: a module for any Python, whose thread appends to a list.
#include <handoff/boost_python/module.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <future>
#include <stop_token>
#include <thread>
#include <unistd.h>
#include <utility>

namespace py = boost::python;
using namespace std::chrono_literals;

class counter {  // its members are read and written only while the GIL is held
public:
    explicit counter(py::list const& numbers) : numbers_(numbers) {}

    ~counter() {  // Python calls it anywhere, so it waits for nothing
        forget_thread_of_parent();
        stop_.request_stop();
    }

    void start() {
        forget_thread_of_parent();
        if (stop_.stop_possible() && !stop_.stop_requested()) {
            return;  // it counts already
        }
        std::stop_source stop;
        std::promise<void> ends;
        auto const ended = ends.get_future().share();
        std::thread([stop, ends = std::move(ends),
                     numbers = handoff::gil_owned<py::list>(numbers_)]() mutable {
            handoff::gil_registration const registered("counter");  // Python's end waits for it,
            std::stop_callback const at_pythons_end(registered.stop_token(),  // and asks it to stop
                                                    [&stop] { stop.request_stop(); });
            count(stop.get_token(), numbers.get());
            numbers.reset();  // who holds the GIL next drops the reference
            ends.set_value();
        }).detach();  // it owns all that it uses
        stop_ = stop;
        ended_ = ended;
        started_in_ = getpid();
    }

    void stop() {
        forget_thread_of_parent();
        stop_.request_stop();
        auto const ended = ended_;  // ours, for from the next line on other threads get in
        handoff::gil_release const while_waiting;  // was: Py_BEGIN_ALLOW_THREADS
        if (ended.valid()) {
            ended.wait();
        }
    }

private:
    void forget_thread_of_parent() {  // the child of a fork() does not have it
        if (started_in_ != getpid()) {
            stop_ = std::stop_source(std::nostopstate);
            ended_ = {};
        }
    }

    static void count(std::stop_token const& asked, py::list& numbers) {
        handoff::gil_label const label("counter");  // for `python3 -m giltrace`
        while (!asked.stop_requested()) {
            {
                // was: PyGILState_STATE const found = PyGILState_Ensure();
                handoff::gil_try_acquire const to_append;
                if (!to_append) {
                    return;  // Python ends, and PyGILState_Ensure() would never have returned
                }
                try {
                    numbers.append(py::len(numbers));
                } catch (py::error_already_set const&) {
                    PyErr_WriteUnraisable(numbers.ptr());  // to sys.unraisablehook
                    return;
                }
                // was: PyGILState_Release(found); and not, where append() had thrown
            }
            std::this_thread::sleep_for(1ms);
        }
    }

    py::list numbers_;
    std::stop_source stop_{std::nostopstate};
    std::shared_future<void> ended_;
    pid_t started_in_ = 0;
};

HANDOFF_PYTHON_MODULE(counter) {  // from now on a thread that arrives late is refused
    py::class_<counter, boost::noncopyable>("Counter", py::init<py::list>())
        .def("start", &counter::start)
        .def("stop", &counter::stop);
}
