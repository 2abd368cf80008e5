// Module seed: the well-known answer, a thread per Foo, and PyGILState_Ensure for each message.
//
// It differs from what is passed around in what keeps it from being measured: the interval is an
// argument, `messages` can be read, nothing is printed, and stop() releases the GIL while it joins;
// holding it, the join would wait for a thread that waits for the GIL.
#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace {

namespace py = boost::python;

class gil_lock {
public:
    gil_lock() : state_(PyGILState_Ensure()) {}
    ~gil_lock() { PyGILState_Release(state_); }
    gil_lock(gil_lock const&) = delete;
    gil_lock& operator=(gil_lock const&) = delete;

private:
    PyGILState_STATE state_;
};

class foo {
public:
    explicit foo(double seconds) : interval_(seconds) {}
    ~foo() { stop(); }
    foo(foo const&) = delete;
    foo& operator=(foo const&) = delete;

    void start() {
        running_ = true;
        thread_ = std::thread([this] {
            while (running_) {
                {
                    gil_lock const lock;
                    messages_.append(py::len(messages_));
                }
                std::this_thread::sleep_for(interval_);
            }
        });
    }

    void stop() {
        if (running_.exchange(false)) {
            PyThreadState* const state = PyEval_SaveThread();
            thread_.join();
            PyEval_RestoreThread(state);
        }
    }

    [[nodiscard]] py::list messages() const { return messages_; }

private:
    std::chrono::duration<double> interval_;
    std::thread thread_;
    py::list messages_;
    std::atomic<bool> running_ = false;
};

}  // namespace

BOOST_PYTHON_MODULE(seed) {
    py::class_<foo, boost::noncopyable>("Foo", py::init<double>())
        .def("start", &foo::start)
        .def("stop", &foo::stop)
        .add_property("messages", &foo::messages);
}
