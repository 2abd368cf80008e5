// Module misuse_nanobind: the question's class with nanobind. Its thread touches a list without the
// GIL, a while after it was started.
#include <nanobind/nanobind.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace {

namespace nb = nanobind;

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
                messages_.append(nb::len(messages_));
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
    nb::list messages_;
    std::atomic<bool> running_ = false;
};

}  // namespace

// nanobind's macro says how the parameter is passed.
// NOLINTBEGIN(performance-unnecessary-value-param)
NB_MODULE(misuse_nanobind, made) {
    nb::class_<foo>(made, "Foo")
        .def(nb::init<>())
        .def("start", &foo::start)
        .def("stop", &foo::stop);
}
// NOLINTEND(performance-unnecessary-value-param)
