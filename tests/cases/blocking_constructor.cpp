// A constructor waits for a thread that runs Python code.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <thread>

namespace {

namespace py = boost::python;

struct device {
    int channels;
    explicit device(int n) : channels(n) {
        std::thread([] {
            handoff::gil_acquire gil;
            PyRun_SimpleString("ready = True");
        }).join();
    }
};

}  // namespace

HANDOFF_PYTHON_MODULE(blocking_constructor) {
    py::class_<device, boost::noncopyable>("Device", handoff::init_without_gil<int>())
        .def_readonly("channels", &device::channels);
}
