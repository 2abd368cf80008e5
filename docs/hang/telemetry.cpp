// A module that hands readings of a sensor to a Python function, and hangs now and then.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace py = pybind11;

namespace {

std::mutex subscribers;
std::function<void(double)> subscriber;
std::atomic<bool> goes_on = true;

void publish(double reading) {
    std::lock_guard const held(subscribers);
    if (subscriber) {
        subscriber(reading);
    }
}

void subscribe(std::function<void(double)> wanted) {
    std::lock_guard const held(subscribers);
    subscriber = std::move(wanted);
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
