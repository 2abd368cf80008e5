// Module misuse_boost: the question's class. Its thread touches a list without the GIL.
#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace {

namespace py = boost::python;

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
                messages_.append(py::len(messages_));
                std::this_thread::sleep_for(std::chrono::seconds(1));
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

BOOST_PYTHON_MODULE(misuse_boost) {
    py::class_<foo, boost::noncopyable>("Foo").def("start", &foo::start).def("stop", &foo::stop);
}
