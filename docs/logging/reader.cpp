// A device's reader, whose native thread logs without the GIL.
#include <handoff/boost_python.hpp>
#include <handoff/logging.hpp>
#include <handoff/logging/python_streambuf.hpp>

#include <boost/python.hpp>

#include <iostream>
#include <stop_token>
#include <string>
#include <thread>

namespace {

namespace py = boost::python;

handoff::log_sink const sink;  // before Python knows of it; it runs no Python code

class reader {
public:
    void read(int frames) {
        thread_ = std::jthread([frames, log = handoff::logger(sink, "device.reader")] {
            for (int frame = 0; frame < frames; ++frame) {
                log.info("frame " + std::to_string(frame));
            }
            log.warning("no more frames");
        });
    }

    void close() { thread_ = std::jthread(); }

private:
    std::jthread thread_;
};

void greet() {
    handoff::python_streambuf const shown(std::cout, sink, handoff::python_stream::standard_output);
    std::cout << "from C++" << std::endl;
}

void flush() { sink.flush(); }

}  // namespace

HANDOFF_PYTHON_MODULE(reader) {
    if (!sink.open()) {
        throw py::error_already_set();
    }
    py::class_<reader, boost::noncopyable>("Reader")
        .def("read", &reader::read)
        .def("close", handoff::without_gil(&reader::close));
    py::def("greet", handoff::without_gil(&greet));
    py::def("flush", &flush);
}
