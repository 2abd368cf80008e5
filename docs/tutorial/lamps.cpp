// lamps: one thread serves all objects, and takes the GIL once for all that is due.
#include <handoff/gil.hpp>
#include <handoff/host.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace py = boost::python;
using namespace std::chrono_literals;

class lamps {  // its members are read and written only while the GIL is held
public:
    void add(py::object const& on_blink) { on_blink_->push_back(on_blink); }

    ~lamps() {  // Python calls it anywhere, so it waits for nothing
        forget_thread_of_parent();
        stop_.request_stop();
    }

    void start() {
        forget_thread_of_parent();
        if (stop_.stop_possible() && !stop_.stop_requested()) {
            return;  // they blink already
        }
        std::stop_source stop;
        std::promise<void> ends;
        auto const ended = ends.get_future().share();
        std::thread thread([stop, ends = std::move(ends), former = ended_,
                            on_blink = handoff::gil_owned<callbacks>(on_blink_)]() mutable {
            handoff::gil_registration const registered("lamps");  // Python's end waits for it,
            std::stop_callback const at_pythons_end(registered.stop_token(),  // and asks it to stop
                                                    [&stop] { stop.request_stop(); });
            if (former.valid()) {
                former.wait();  // for the last turn of the thread before this one
            }
            blink(stop.get_token(), on_blink.get());
            on_blink.reset();  // who holds the GIL next drops the references
            ends.set_value();
        });
        thread_ = thread.get_id();
        thread.detach();  // it owns all that it uses
        stop_ = stop;
        ended_ = ended;
        started_in_ = getpid();
    }

    void stop() {
        forget_thread_of_parent();
        stop_.request_stop();
        if (!ended_.valid() || thread_ == std::this_thread::get_id()) {
            return;  // never started; or within on_blink(), which would wait for itself
        }
        auto const ended = ended_;  // ours, for from the next line on other threads get in
        handoff::gil_release const while_waiting;
        ended.wait();
    }

private:
    using callbacks = std::shared_ptr<std::vector<py::object>>;

    void forget_thread_of_parent() {  // the child of a fork() does not have it
        if (started_in_ != getpid()) {
            stop_ = std::stop_source(std::nostopstate);
            ended_ = {};
        }
    }

    static void blink(std::stop_token const& asked, callbacks const& on_blink) {
        std::mutex mutex;
        std::condition_variable_any pause;
        for (auto due = std::chrono::steady_clock::now(); !asked.stop_requested(); due += 20ms) {
            {
                handoff::gil_try_acquire const to_call;
                if (!to_call) {
                    return;  // Python ends
                }
                for (std::size_t each = 0; each < on_blink->size(); ++each) {
                    call(py::object((*on_blink)[each]));  // its own reference: it may add lamps
                }
            }
            std::unique_lock held(mutex);
            pause.wait_until(held, asked, due + 20ms, [] { return false; });
        }
    }

    static void call(py::object const& on_blink) {
        try {
            on_blink();
        } catch (py::error_already_set const&) {
            PyErr_WriteUnraisable(on_blink.ptr());  // to sys.unraisablehook; the others go on
        }
    }

    callbacks on_blink_ = std::make_shared<std::vector<py::object>>();
    std::stop_source stop_{std::nostopstate};
    std::thread::id thread_;
    std::shared_future<void> ended_;
    pid_t started_in_ = 0;
};

BOOST_PYTHON_MODULE(lamps) {
    py::class_<lamps, boost::noncopyable>("Lamps")
        .def("add", &lamps::add)
        .def("start", &lamps::start)
        .def("stop", &lamps::stop);
}

int main(int argc, char* argv[]) {
    handoff::host python;
    python.add_module("lamps", &PyInit_lamps);
    return python.run(argc, argv);
}
