// A native thread makes numbers, which coroutines await, cancelled or not.
#include <handoff/boost_python.hpp>
#include <handoff/channel_class.hpp>

#include <boost/python.hpp>

#include <memory>
#include <thread>

namespace {

namespace py = boost::python;
using numbers = handoff::channel<int>;

/// 0, 1, 2, … up to `count`; then it is closed.
std::shared_ptr<numbers> count_to(int count) {
    auto made = std::make_shared<numbers>(64, handoff::when_full::block);
    std::thread([out = handoff::producer(*made), count]() mutable {
        for (int number = 0; number < count; ++number) {
            if (out.push(number) == handoff::pushed::closed) {
                return;  // nobody listens any more
            }
        }
        out.close();
    }).detach();
    return made;
}

}  // namespace

HANDOFF_PYTHON_MODULE(stream) {
    handoff::channel_class<int> const registered("Numbers");
    py::def("count_to", &count_to);
}
