// define(): one overload of a function, plain or fast, for a class or a module of somebody's.
#include <handoff/boost_python/fast.hpp>
#include <handoff/boost_python/fast_class.hpp>

#include <boost/python.hpp>

#include <string>

namespace py = boost::python;

namespace {

std::string of_number(int of) { return "int " + std::to_string(of); }
std::string of_text(std::string const& of) { return "text " + of; }
std::string of_fraction(double of) { return "double " + std::to_string(of); }
std::string of_two(int one, int two) { return "two " + std::to_string(10 * one + two); }
// NOLINTNEXTLINE(modernize-use-string-view): of one type with the others
std::string of_list(py::list const& /*of*/) { return "list"; }

template <class F>
void define_as(char const* name, int kind, F how) {
    switch (kind) {
        case 0:
            return py::def(name, how(&of_number), "Of an int.");
        case 1:
            return py::def(name, how(&of_text), py::arg("text"));
        case 2:
            return py::def(name, how(&of_fraction));
        case 3:
            return py::def(name, how(&of_two), (py::arg("one"), py::arg("two") = 1), "Of two.");
        default:
            return py::def(name, how(&of_list));
    }
}

void define(py::object const& space, char const* name, int kind, bool is_fast, bool is_documented) {
    py::docstring_options const docstrings(is_documented, is_documented, is_documented);
    py::scope const inside(space);
    if (is_fast) {
        define_as(name, kind, [](auto f) { return handoff::fast(f); });
    } else {
        define_as(name, kind, [](auto f) { return f; });
    }
}

/// As an object that becomes an overload only later.
void define_object(py::object const& space, char const* name, bool is_fast) {
    py::scope const inside(space);
    py::def(name, is_fast ? py::object(handoff::fast(&of_list))
                          : py::object(py::make_function(&of_list)));
}

/// For ever, and where a leak checker sees that somebody still refers to it.
void keep(py::object const& function) {
    [[maybe_unused]] static PyObject* volatile kept = nullptr;
    kept = py::incref(function.ptr());
}

struct holder {};

}  // namespace

BOOST_PYTHON_MODULE(OVERLOADS_MODULE) {
    handoff::fast_class_<holder, boost::noncopyable>("holder")
        .def("fixed", &of_number)
        .def("fixed", &of_text)
        .staticmethod("fixed");
    py::def("define", &define);
    py::def("define_object", &define_object);
    py::def("keep", &keep);
}
