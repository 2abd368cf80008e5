// lamps: one thread serves all objects, and takes the GIL once for all that is due.
#include <handoff/gil.hpp>
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/host.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace py = boost::python;
using namespace std::chrono_literals;

class lamps {
public:
    void add(py::object const& on_blink) { on_blink_.push_back(on_blink); }  // the GIL guards it

    void start() {
        if (!thread_.joinable()) {
            thread_ = std::jthread([this](std::stop_token const& stop) { blink(stop); });
        }
    }

    void stop() {  // without the GIL: the binding says so
        thread_.request_stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    ~lamps() {
        handoff::gil_release while_joining;
        stop();
    }

private:
    void blink(std::stop_token const& stop) {
        handoff::gil_registration const registered("lamps");  // Python's end waits for this thread
        std::mutex mutex;
        std::condition_variable_any pause;
        for (auto due = std::chrono::steady_clock::now(); !stop.stop_requested(); due += 20ms) {
            {
                handoff::gil_try_acquire const to_call;
                if (!to_call) {
                    return;  // Python ends
                }
                for (std::size_t each = 0; each < on_blink_.size(); ++each) {
                    call(py::object(on_blink_[each]));  // its own reference: it may add lamps
                }
            }
            std::unique_lock held(mutex);
            pause.wait_until(held, stop, due + 20ms, [] { return false; });
        }
    }

    static void call(py::object const& on_blink) {
        try {
            on_blink();
        } catch (py::error_already_set const&) {
            PyErr_WriteUnraisable(on_blink.ptr());  // to sys.unraisablehook; the others go on
        }
    }

    std::vector<py::object> on_blink_;
    std::jthread thread_;
};

BOOST_PYTHON_MODULE(lamps) {
    py::class_<lamps, boost::noncopyable>("Lamps")
        .def("add", &lamps::add)
        .def("start", &lamps::start)
        .def("stop", handoff::without_gil(&lamps::stop));
}

int main(int argc, char* argv[]) {
    handoff::host python;
    python.add_module("lamps", &PyInit_lamps);
    return python.run(argc, argv);
}
