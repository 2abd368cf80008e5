// A module that brings a Boost.Python of its own, as many wheels do; it says which one it is given.
#include <boost/python.hpp>

#include <dlfcn.h>
#include <string>

#ifdef CONTAINS_ONE
[[gnu::visibility("default")]] void boost::python::throw_error_already_set() {
    throw error_already_set();
}
#endif

namespace {

struct thing {
    std::string name = "thing";
};

std::string renamed(thing& it, std::string const& name) {
    it.name = name;
    return it.name;
}

/// The file of the library, or of the program, whose Boost.Python this module calls.
std::string boost_python_in_use() {
    Dl_info its{};
    dladdr(reinterpret_cast<void*>(&boost::python::throw_error_already_set), &its);
    return its.dli_fname != nullptr ? its.dli_fname : "";
}

}  // namespace

BOOST_PYTHON_MODULE(MODULE_NAME) {
    boost::python::class_<thing>("Thing").def("rename", &renamed);
    boost::python::def("boost_python_in_use", &boost_python_in_use);
}
