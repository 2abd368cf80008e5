// feed: a native thread calls a Python function, as docs/threads.md shows it.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

class feed {
public:
    explicit feed(std::function<void(double)> on_price)
        : thread_([call = std::move(on_price)](std::stop_token const& stop) {
              for (double price = 100; !stop.stop_requested(); ++price) {
                  call(price);  // takes the GIL for this call alone
                  std::this_thread::sleep_for(std::chrono::milliseconds(1));
              }
          }) {}

    ~feed() {
        thread_.request_stop();
        if (is_its_own_thread()) {  // on_price dropped the last reference
            thread_.detach();       // it uses nothing of this object
        }
    }  // the jthread joins

    void stop() {
        thread_.request_stop();
        if (is_its_own_thread()) {  // on_price called stop()
            return;
        }
        std::scoped_lock const one_caller(joining_);
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    bool is_its_own_thread() const { return std::this_thread::get_id() == id_; }

    std::mutex joining_;
    std::jthread thread_;
    std::thread::id const id_ = thread_.get_id();
};

HANDOFF_PYTHON_MODULE(feed) {
    namespace py = boost::python;
    handoff::register_callback<void(double)>({.on_error = &handoff::python_error::report});
    py::class_<feed, handoff::released_ptr<feed>, boost::noncopyable>(
        "Feed", py::init<std::function<void(double)>>())
        .def("stop", handoff::without_gil(&feed::stop));
}
