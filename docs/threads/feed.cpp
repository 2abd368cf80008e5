// feed: a native thread calls a Python function, as docs/threads.md shows it.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <unistd.h>
#include <utility>

class feed {
public:
    explicit feed(std::function<void(double)> on_price) {
        if (!on_price) {
            throw std::invalid_argument("on_price must be a function, not None");
        }
        thread_ = std::jthread([call = std::move(on_price)](std::stop_token const& stop) {
            for (double price = 100; !stop.stop_requested(); ++price) {
                call(price);  // takes the GIL for this call alone
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        });
        id_ = thread_.get_id();
    }

    ~feed() {
        thread_.request_stop();
        if (made_in_ != getpid()) {  // the child of a fork() does not have the thread
            static_cast<void>(new std::jthread(std::move(thread_)));  // neither joined nor detached
        } else if (is_its_own_thread()) {  // on_price dropped the last reference
            thread_.detach();  // it uses nothing of this object
        }
    }  // the jthread joins

    void stop() {
        thread_.request_stop();
        if (made_in_ != getpid() || is_its_own_thread()) {  // the latter: on_price called stop()
            return;
        }
        std::scoped_lock const one_caller(joining_);
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    bool is_its_own_thread() const { return std::this_thread::get_id() == id_; }

    pid_t const made_in_ = getpid();
    std::mutex joining_;
    std::jthread thread_;
    std::thread::id id_;
};

HANDOFF_PYTHON_MODULE(feed) {
    namespace py = boost::python;
    handoff::register_callback<void(double)>({.on_error = &handoff::python_error::report});
    py::class_<feed, handoff::released_ptr<feed>, boost::noncopyable>(
        "Feed", py::init<std::function<void(double)>>())
        .def("stop", handoff::without_gil(&feed::stop));
}
