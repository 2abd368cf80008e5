// Module Foo of ../crash.md: the question's class, whose thread uses a list without the GIL.
#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>

namespace py = boost::python;

class Foo {
public:
    void start() {
        running = true;
        thread = std::thread([this] {
            while (running) {
                std::cout << py::len(messages) << std::endl;
                messages.append(py::len(messages));
                std::this_thread::sleep_for(std::chrono::seconds(1));
            }
        });
    }

    void stop() {
        running = false;
        thread.join();
    }

private:
    py::list messages;
    std::thread thread;
    std::atomic<bool> running = false;
};

BOOST_PYTHON_MODULE(Foo) {
    py::class_<Foo, boost::noncopyable>("Foo").def("start", &Foo::start).def("stop", &Foo::stop);
}
