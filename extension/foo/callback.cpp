// callback: a class of three slots.
#include "callback.hpp"

#include "gil_scheduler.hpp"
#include "ticker.hpp"

#include <boost/python/errors.hpp>

#include <array>

namespace handoff::callback {

namespace {

struct object {
    PyObject_HEAD  // NOLINT(readability-identifier-naming)
        PyObject* called;  // owned
    ticker* of;        // null: it is gone
};

object& from(PyObject* self) noexcept { return *reinterpret_cast<object*>(self); }

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(from(self).called);
    return 0;
}

int clear(PyObject* self) {
    Py_SETREF(from(self).called, Py_NewRef(Py_None));
    return 0;
}

void finalize(PyObject* self) {
    if (ticker* const of = from(self).of) {
        gil_scheduler().cut(*of);
    }
}

void deallocate(PyObject* self) {
    PyTypeObject* const its_class = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(from(self).called);
    PyObject_GC_Del(self);
    Py_DECREF(its_class);
}

/// The class, made when it is first needed. Returns: null with a Python error set.
PyTypeObject* callback_class() noexcept {
    static PyTypeObject* only = nullptr;  // owned, guarded by the GIL
    if (only != nullptr) {
        return only;
    }
    std::array slots = {
        PyType_Slot{.slot = Py_tp_doc,
                    .pfunc = const_cast<char*>("Calls the on_message of a Foo.")},
        PyType_Slot{.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&traverse)},
        PyType_Slot{.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&clear)},
        PyType_Slot{.slot = Py_tp_finalize, .pfunc = reinterpret_cast<void*>(&finalize)},
        PyType_Slot{.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&deallocate)},
        PyType_Slot{.slot = 0, .pfunc = nullptr},
    };
    PyType_Spec spec = {.name = "Foo.callback",
                        .basicsize = sizeof(object),
                        .itemsize = 0,
                        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                                 Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                        .slots = slots.data()};
    PyObject* const made = PyType_FromSpec(&spec);
    if (only == nullptr) {  // a collection may have let another thread be faster
        only = reinterpret_cast<PyTypeObject*>(made);
    } else {
        Py_XDECREF(made);
    }
    return only;
}

}  // namespace

PyObject* make(PyObject* called, ticker& of) {
    PyTypeObject* const its_class = callback_class();
    object* const made = its_class != nullptr ? PyObject_GC_New(object, its_class) : nullptr;
    if (made == nullptr) {
        throw boost::python::error_already_set();
    }
    made->called = Py_NewRef(called);
    made->of = &of;
    auto* const self = reinterpret_cast<PyObject*>(made);
    PyObject_GC_Track(self);
    return self;
}

PyObject* called_by(PyObject* callback) noexcept { return from(callback).called; }

void forget_ticker(PyObject* callback) noexcept { from(callback).of = nullptr; }

}  // namespace handoff::callback
