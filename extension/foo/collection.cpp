// collection: the slots of Foo's class that Python's garbage collector calls.
#include "collection.hpp"

#include <handoff/boost_python/detail/instance.hpp>
#include <handoff/foo.hpp>

#include <boost/python/object/find_instance.hpp>
#include <boost/python/type_id.hpp>

#include <memory>

namespace handoff {

namespace py = boost::python;

namespace {

/// The Foo inside a Python object, if the object is its only owner. The answer does not change
/// during a collection: a second owner is made from the Python object, with the GIL.
foo* own_foo(PyObject* self) {
    auto const* const owner = static_cast<std::shared_ptr<foo> const*>(
        py::objects::find_instance_impl(self, py::type_id<std::shared_ptr<foo>>()));
    return owner != nullptr && owner->use_count() == 1 ? owner->get() : nullptr;
}

using detail::attributes_of;

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(attributes_of(self));
    foo const* const its = own_foo(self);
    return its != nullptr ? its->traverse(visit, arg) : 0;
}

int clear(PyObject* self) {
    Py_CLEAR(attributes_of(self));
    if (foo* const its = own_foo(self)) {
        its->clear();
    }
    return 0;
}

}  // namespace

void make_collectable(PyTypeObject& foo_class) {
    foo_class.tp_traverse = &traverse;
    foo_class.tp_clear = &clear;
    detail::protect_attributes(foo_class);
}

}  // namespace handoff
