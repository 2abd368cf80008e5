// callback: a class of three slots.
#include "callback.hpp"

#include "gil_scheduler.hpp"
#include "ticker.hpp"
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/made_once.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <utility>

namespace handoff::callback {

namespace {

struct object {
    PyObject_HEAD  // NOLINT(readability-identifier-naming)
        PyObject* called;  // owned
    detail::gil_exclusion exclusion;  // guards the others
    ticker* of;        // null: the ticker is gone
};

object& from(PyObject* self) noexcept { return *reinterpret_cast<object*>(self); }

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(from(self).called);
    return 0;
}

int clear(PyObject* self) {
    PyObject* called = Py_NewRef(Py_None);
    {
        std::scoped_lock const alone(from(self).exclusion);
        std::swap(from(self).called, called);
    }
    Py_DECREF(called);
    return 0;
}

void finalize(PyObject* self) {
    boost::intrusive_ptr<ticker> its;
    {
        std::scoped_lock const alone(from(self).exclusion);
        if (ticker* const of = from(self).of) {
            its = ticker::referred(*of);
        }
    }
    if (its != nullptr) {
        gil_scheduler().cut(*its);
    }
}

void deallocate(PyObject* self) {
    PyTypeObject* const its_class = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(from(self).called);
    PyObject_GC_Del(self);
    Py_DECREF(its_class);
}

/// Returns: null with a Python error set.
PyObject* make_class() {
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
    return PyType_FromSpec(&spec);
}

}  // namespace

PyObject* make(PyObject* called, ticker& of) {
    auto* const its_class = reinterpret_cast<PyTypeObject*>(detail::made_once<&make_class>());
    object* const made = its_class != nullptr ? PyObject_GC_New(object, its_class) : nullptr;
    if (made == nullptr) {
        throw boost::python::error_already_set();
    }
    made->called = Py_NewRef(called);
    std::construct_at(&made->exclusion);
    made->of = &of;
    auto* const self = reinterpret_cast<PyObject*>(made);
    PyObject_GC_Track(self);
    return self;
}

boost::python::object called_by(PyObject* callback) {
    std::scoped_lock const alone(from(callback).exclusion);
    return boost::python::object(
        boost::python::handle<>(boost::python::borrowed(from(callback).called)));
}

void forget_ticker(PyObject* callback) noexcept {
    std::scoped_lock const alone(from(callback).exclusion);
    from(callback).of = nullptr;
}

}  // namespace handoff::callback
