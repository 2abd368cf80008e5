// thermometer: a native thread measures, and Python reads what has come.
#include <handoff/channel_class.hpp>
#include <handoff/host.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <memory>
#include <thread>
#include <unistd.h>
#include <utility>

namespace py = boost::python;
using namespace std::chrono_literals;

using readings = handoff::channel<double>;

class thermometer {
public:
    thermometer()
        : readings_(std::make_shared<readings>(1000, handoff::when_full::drop_oldest)),
          thread_([out = handoff::producer(*readings_)] {
              double celsius = 20;
              while (out.push(celsius) != handoff::pushed::closed) {  // never touches the GIL
                  celsius += 0.5;
                  std::this_thread::sleep_for(10ms);
              }
          }) {}

    ~thermometer() {
        readings_->close();  // then push() says so, and the thread ends within 10 ms
        if (made_in_ == getpid()) {
            thread_.join();  // it never waits for the GIL, nor for a lock of the script's
        } else {             // the child of a fork() does not have it
            static_cast<void>(new std::jthread(std::move(thread_)));  // neither joined nor detached
        }
    }

    std::shared_ptr<readings> of() const { return readings_; }

private:
    std::shared_ptr<readings> readings_;
    pid_t made_in_ = getpid();
    std::jthread thread_;
};

BOOST_PYTHON_MODULE(thermometer) {
    handoff::channel_class<double>("Readings");
    py::class_<thermometer, boost::noncopyable>("Thermometer")
        .add_property("readings", &thermometer::of);
}

int main(int argc, char* argv[]) {
    handoff::host python;
    python.add_module("thermometer", &PyInit_thermometer);
    return python.run(argc, argv);
}
