// Module misuse_pybind11: the question's class with pybind11. Its thread touches a list without the
// GIL, a while after it was started.
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace {

namespace py = pybind11;

class foo {
public:
    foo() = default;
    ~foo() { stop(); }
    foo(foo const&) = delete;
    foo& operator=(foo const&) = delete;

    void start() {
        running_ = true;
        thread_ = std::thread([this] {
            while (running_) {
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
                messages_.append(messages_.size());
            }
        });
    }

    void stop() {
        if (running_.exchange(false)) {
            thread_.join();
        }
    }

private:
    std::thread thread_;
    py::list messages_;
    std::atomic<bool> running_ = false;
};

}  // namespace

PYBIND11_MODULE(misuse_pybind11, made) {
    py::class_<foo>(made, "Foo")
        .def(py::init<>())
        .def("start", &foo::start)
        .def("stop", &foo::stop);
}
