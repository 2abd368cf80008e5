// foo_user: somebody else's Boost.Python module, which takes and returns a Foo.
#include <handoff/foo.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <memory>

namespace py = boost::python;

namespace {

double interval_of(handoff::foo const& taken) { return taken.interval().count(); }

std::shared_ptr<handoff::foo> same(std::shared_ptr<handoff::foo> const& taken) { return taken; }

std::shared_ptr<handoff::foo> hourly() {
    return std::make_shared<handoff::foo>(std::chrono::hours(1));
}

}  // namespace

BOOST_PYTHON_MODULE(foo_user) {
    py::import("Foo");  // its converters
    py::def("interval_of", &interval_of);
    py::def("same", &same);
    py::def("hourly", &hourly);
}
