// What a Python program can do to an object of a Boost.Python class that Boost.Python does not
// expect: give it another __dict__ or __weakref__, or initialise it again.
#pragma once

#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/python.hpp>

#include <boost/python/converter/registered.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/object/instance.hpp>

#include <utility>

namespace handoff::detail {

/// Its __dict__; null until it has one.
[[nodiscard]] inline PyObject*& attributes_of(PyObject* self) {
    return reinterpret_cast<boost::python::objects::instance<>*>(self)->dict;
}

inline PyObject* get_attributes(PyObject* self, void* /*closure*/) {
    object_exclusion const alone(self);
    PyObject*& attributes = attributes_of(self);
    if (attributes == nullptr) {
        attributes = PyDict_New();
    }
    return Py_XNewRef(attributes);
}

inline int set_attributes(PyObject* self, PyObject* value, void* /*closure*/) {
    if (value == nullptr || PyDict_Check(value) == 0) {
        PyErr_Format(PyExc_TypeError,
                     value == nullptr ? "the __dict__ of %.80R cannot be deleted"
                                      : "the __dict__ of %.80R must be a dict, "
                                        "not %.80R",
                     self, value);
        return -1;
    }
    PyObject* former = Py_NewRef(value);
    {
        object_exclusion const alone(self);
        std::swap(attributes_of(self), former);
    }
    Py_XDECREF(former);
    return 0;
}

inline PyObject* get_weak_references(PyObject* self, void* /*closure*/) {
    PyObject* const first = reinterpret_cast<boost::python::objects::instance<>*>(self)->weakrefs;
    return Py_NewRef(first != nullptr ? first : Py_None);
}

/// Makes `__dict__` accept only a dict, and `__weakref__` nothing, as in every Python class.
/// Boost.Python accepts anything for both, also nothing, and uses it later.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
/// Source: instance_getsets and instance_members in Boost.Python's object/class.cpp.
inline void protect_attributes(PyTypeObject& its_class) {
    static PyGetSetDef dict{.name = "__dict__",
                            .get = &get_attributes,
                            .set = &set_attributes,
                            .doc = nullptr,
                            .closure = nullptr};
    static PyGetSetDef weak{.name = "__weakref__",
                            .get = &get_weak_references,
                            .set = nullptr,
                            .doc = nullptr,
                            .closure = nullptr};
    for (PyGetSetDef* each : {&dict, &weak}) {
        boost::python::handle<> const descriptor(PyDescr_NewGetSet(&its_class, each));
        if (PyDict_SetItemString(its_class.tp_dict, each->name, descriptor.get()) != 0) {
            throw boost::python::error_already_set();
        }
    }
    PyType_Modified(&its_class);
}

/// Call it at the beginning of an `__init__`, which Python may call for any object, and twice.
/// Boost.Python would write over any object, and put a second T beside the first.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set: a TypeError, or a RuntimeError.
template <class T>
void refuse_unless_new(boost::python::object const& self) {
    PyTypeObject* const its_class =
        boost::python::converter::registered<T>::converters.get_class_object();
    if (PyObject_TypeCheck(self.ptr(), its_class) == 0) {
        PyErr_Format(PyExc_TypeError, "%s.__init__() needs a %s, not %.80R", its_class->tp_name,
                     its_class->tp_name, self.ptr());
        throw boost::python::error_already_set();
    }
    if (boost::python::extract<T&>(self).check()) {
        PyErr_Format(PyExc_RuntimeError, "%.80R has been initialised before", self.ptr());
        throw boost::python::error_already_set();
    }
}

}  // namespace handoff::detail
