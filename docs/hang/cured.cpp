// The same module, which does not hang: nothing that touches Python is done under the mutex.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace py = pybind11;

namespace {

std::mutex subscribers;
std::shared_ptr<std::function<void(double)> const> subscriber;
std::atomic<bool> goes_on = true;

void publish(double reading) {
    auto const wanted = [] {
        std::lock_guard const held(subscribers);
        return subscriber;
    }();
    if (wanted) {
        (*wanted)(reading);
    }
}

void subscribe(std::function<void(double)> wanted) {
    auto next = std::make_shared<std::function<void(double)> const>(std::move(wanted));
    std::lock_guard const held(subscribers);
    std::swap(subscriber, next);  // the old one is destroyed after the unlock
}

void run() {
    while (goes_on) {
        publish(20.5);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::thread worker;

}  // namespace

PYBIND11_MODULE(telemetry, made) {
    made.def("subscribe", &subscribe);
    made.def("start", [] { worker = std::thread(&run); });
    made.def(
        "stop",
        [] {
            goes_on = false;
            worker.join();
            subscriber = nullptr;
        },
        py::call_guard<py::gil_scoped_release>());
}
