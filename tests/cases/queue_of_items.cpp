// C++ keeps shared_ptrs that Boost.Python made of Python objects, and drops them on its own thread.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <deque>
#include <memory>
#include <thread>

namespace {

namespace py = boost::python;

struct item {
    virtual ~item() = default;
    int n = 0;
};

struct queue {  // native library
    std::deque<std::shared_ptr<item>> todo;
    void put(std::shared_ptr<item> const& i) { todo.push_back(i); }
    std::shared_ptr<item> last() { return todo.back(); }
    void drain() {
        std::thread([this] {
            while (!todo.empty()) {
                todo.pop_front();
            }
        }).join();
    }
};

}  // namespace

HANDOFF_PYTHON_MODULE(queue_of_items) {
    py::class_<item, std::shared_ptr<item>, boost::noncopyable>("Item")
        .def_readwrite("n", &item::n)
        .def(handoff::drop_shared_ptr_anywhere());
    py::class_<queue, boost::noncopyable>("Queue")
        .def("put", &queue::put)
        .def("last", &queue::last)
        .def("drain", handoff::without_gil(&queue::drain));
}
