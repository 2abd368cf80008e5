// sensor: an example module. A native thread makes timestamped samples, and Python reads them.
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/channel_class.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <numbers>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

namespace py = boost::python;

namespace {

struct sample {
    double time;  // seconds since the start
    double value;
};

/// Stands for a device: so many samples a second of a 5 Hz sine, in bursts, as devices have them.
class sensor {
public:
    sensor(double rate, std::ptrdiff_t capacity)
        : samples_(std::make_shared<handoff::channel<sample>>(capacity,
                                                              handoff::when_full::drop_oldest)) {
        if (!(rate > 0 && rate <= 1e8)) {
            throw std::invalid_argument(
                "rate must be a positive number of samples a second, at "
                "most 1e8, not " +
                std::to_string(rate));
        }
        thread_ = std::jthread([rate, out = handoff::producer(*samples_)](
                                   std::stop_token const& stop) { run(stop, rate, out); });
    }

    /// GIL: held, and not released. Python may destroy an object anywhere, also while C++ code that
    ///      called Python holds a mutex. If the GIL were released here, another thread could take
    ///      it, and wait for that mutex with the GIL held, while this one waited for the GIL.
    ~sensor() {
        samples_->close();
        forget_thread_of_parent();
        // Then thread_ is stopped and joined, within a millisecond: it never takes the GIL.
    }
    sensor(sensor const&) = delete;
    sensor& operator=(sensor const&) = delete;

    [[nodiscard]] std::shared_ptr<handoff::channel<sample>> samples() const { return samples_; }

    /// Returns when the thread has ended, to each caller.
    /// GIL: not held, so other Python threads may be in here: of these one at a time joins. The
    ///      mutex may be held meanwhile, as the thread takes neither it nor the GIL.
    void stop() {
        samples_->close();  // so that who reads comes to the end
        std::scoped_lock const one_at_a_time(stopping_);
        forget_thread_of_parent();
        thread_.request_stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    /// In the child of a fork() the thread does not exist. To join or detach it there is undefined:
    /// its handle may be that of one of the child's own threads.
    void forget_thread_of_parent() {
        if (getpid() != made_in_ && thread_.joinable()) {
            static_cast<void>(new std::jthread(std::move(thread_)));
        }
    }

    static void run(std::stop_token const& stop, double rate,
                    handoff::producer<sample> const& out) {
        using clock = std::chrono::steady_clock;
        auto const start = clock::now();
        std::uint64_t made = 0;
        while (!stop.stop_requested()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            std::chrono::duration<double> const elapsed = clock::now() - start;
            for (auto const due = static_cast<std::uint64_t>(elapsed.count() * rate); made < due;
                 ++made) {
                double const time = static_cast<double>(made) / rate;
                if (out.push({.time = time, .value = std::sin(10 * std::numbers::pi * time)}) ==
                    handoff::pushed::closed) {
                    return;  // nobody listens any more
                }
            }
        }
    }

    std::shared_ptr<handoff::channel<sample>> samples_;
    std::mutex stopping_;
    pid_t const made_in_ = getpid();
    std::jthread thread_;
};

}  // namespace

BOOST_PYTHON_MODULE(sensor) {
    py::class_<sample>("Sample", py::no_init)
        .def_readonly("time", &sample::time)
        .def_readonly("value", &sample::value);
    handoff::channel_class<sample>("Samples")
        .field("time", &sample::time)
        .field("value", &sample::value);
    py::class_<sensor, boost::noncopyable>(
        "Sensor",
        py::init<double, std::ptrdiff_t>((py::arg("rate"), py::arg("capacity") = 1 << 20)))
        .add_property("samples", &sensor::samples)
        .def("stop", handoff::without_gil(&sensor::stop));
}
