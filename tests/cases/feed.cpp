// A Python callable in a std::function, called on a native thread.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <functional>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;

struct feed {
    std::function<void(double)> on_price;
    std::jthread worker;
    void subscribe(std::function<void(double)> f) { on_price = std::move(f); }
    void start() {
        worker = std::jthread([cb = on_price] {
            for (int i = 0; i < 100; ++i) {
                cb(i);
            }
        });
    }
    void wait() { worker.join(); }
};

}  // namespace

HANDOFF_PYTHON_MODULE(feed) {
    handoff::register_callback<void(double)>({.on_error = &handoff::python_error::report});
    py::class_<feed, handoff::released_ptr<feed>, boost::noncopyable>("Feed")
        .def("subscribe", &feed::subscribe)
        .def("start", &feed::start)
        .def("wait", handoff::without_gil(&feed::wait));
}
