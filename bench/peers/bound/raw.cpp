// The limit: what is written by hand for CPython, with METH_FASTCALL. Module bound_raw.
#include "thing.hpp"
#include <handoff/gil/python.hpp>

#include <new>

namespace {

using bound::thing;
using arguments = PyObject* const*;

struct instance {
    PyObject ob_base;
    thing held;
};

PyTypeObject thing_type{};

thing& of(PyObject* self) { return reinterpret_cast<instance*>(self)->held; }

PyObject* made(PyTypeObject* type, thing const& from) {
    PyObject* const self = type->tp_alloc(type, 0);
    if (self != nullptr) {
        new (&of(self)) thing(from);
    }
    return self;
}

PyObject* construct(PyTypeObject* type, PyObject* /*arguments*/, PyObject* /*keywords*/) {
    return made(type, thing());
}

/// Whether so many were given.
bool given(Py_ssize_t count, Py_ssize_t wanted) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, and not %zd", wanted, count);
    }
    return count == wanted;
}

/// Whether it is an int of C; otherwise an error is set.
bool read(PyObject* object, int& value) {
    long const read = PyLong_AsLong(object);
    value = static_cast<int>(read);
    if (read == -1 && PyErr_Occurred() != nullptr) {
        return false;
    }
    if (read != value) {
        PyErr_SetString(PyExc_OverflowError, "too large for an int");
        return false;
    }
    return true;
}

/// The thing of an argument; null, with an error, if it is none.
thing const* read_thing(PyObject* object) {
    if (PyObject_TypeCheck(object, &thing_type) == 0) {
        PyErr_SetString(PyExc_TypeError, "no thing");
        return nullptr;
    }
    return &of(object);
}

// In whose scope a function is called.
struct with_gil {};
struct without_gil {
    PyThreadState* const own = PyEval_SaveThread();
    without_gil() = default;
    without_gil(without_gil const&) = delete;
    without_gil& operator=(without_gil const&) = delete;
    ~without_gil() { PyEval_RestoreThread(own); }
};

template <class Scope, class F>
auto result_in(F const& f) {
    [[maybe_unused]] Scope const scope{};
    return f();
}

template <class Scope>
PyObject* add(PyObject* /*module*/, arguments all, Py_ssize_t count) {
    int one = 0;
    int other = 0;
    if (!given(count, 2) || !read(all[0], one) || !read(all[1], other)) {
        return nullptr;
    }
    return PyLong_FromLong(result_in<Scope>([&] { return bound::add(one, other); }));
}

template <class Scope>
PyObject* poke(PyObject* self, arguments /*all*/, Py_ssize_t count) {
    if (!given(count, 0)) {
        return nullptr;
    }
    result_in<Scope>([&] { of(self).poke(); });
    Py_RETURN_NONE;
}

template <class Scope>
PyObject* put(PyObject* self, arguments all, Py_ssize_t count) {
    if (!given(count, 1)) {
        return nullptr;
    }
    double const by = PyFloat_AsDouble(all[0]);
    if (by == -1 && PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    return PyFloat_FromDouble(result_in<Scope>([&] { return of(self).put(by); }));
}

template <class Scope>
PyObject* peer(PyObject* self, arguments all, Py_ssize_t count) {
    thing const* const other = given(count, 1) ? read_thing(all[0]) : nullptr;
    if (other == nullptr) {
        return nullptr;
    }
    return PyLong_FromLong(result_in<Scope>([&] { return of(self).peer(*other); }));
}

PyObject* item(PyObject* self, PyObject* index) {
    int at = 0;
    return read(index, at) ? PyLong_FromLong(of(self).at(at)) : nullptr;
}

Py_ssize_t size(PyObject* self) { return of(self).size(); }

PyObject* plus(PyObject* self, PyObject* other) {
    thing const* const one = read_thing(self);
    thing const* const another = read_thing(other);
    if (one == nullptr || another == nullptr) {
        return nullptr;
    }
    return made(&thing_type, one->plus(*another));
}

PyObject* get(PyObject* self, void* /*closure*/) { return PyLong_FromLong(of(self).get()); }

template <class F>
PyMethodDef method(char const* name, F* f) {
    return {.ml_name = name,
            .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f)),
            .ml_flags = METH_FASTCALL,
            .ml_doc = nullptr};
}

}  // namespace

PyMODINIT_FUNC PyInit_bound_raw() {
    static PyMethodDef methods[] = {method("poke", &poke<with_gil>),
                                    method("put", &put<with_gil>),
                                    method("peer", &peer<with_gil>),
                                    method("released_poke", &poke<without_gil>),
                                    method("released_put", &put<without_gil>),
                                    method("released_peer", &peer<without_gil>),
                                    {}};
    static PyGetSetDef properties[] = {
        {.name = "value", .get = &get, .set = nullptr, .doc = nullptr, .closure = nullptr}, {}};
    static PyMappingMethods mapping{
        .mp_length = &size, .mp_subscript = &item, .mp_ass_subscript = nullptr};
    static PyNumberMethods number{};
    number.nb_add = &plus;
    static PyMethodDef functions[] = {
        method("add", &add<with_gil>), method("released_add", &add<without_gil>), {}};
    static PyModuleDef definition{.m_base = PyModuleDef_HEAD_INIT,
                                  .m_name = "bound_raw",
                                  .m_doc = nullptr,
                                  .m_size = -1,
                                  .m_methods = functions,
                                  .m_slots = nullptr,
                                  .m_traverse = nullptr,
                                  .m_clear = nullptr,
                                  .m_free = nullptr};
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&thing_type), 1);
    thing_type.tp_name = "bound_raw.thing";
    thing_type.tp_basicsize = sizeof(instance);
    thing_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
    thing_type.tp_methods = methods;
    thing_type.tp_getset = properties;
    thing_type.tp_as_mapping = &mapping;
    thing_type.tp_as_number = &number;
    thing_type.tp_new = &construct;
    PyObject* const module = PyModule_Create(&definition);
    if (module == nullptr || PyModule_AddType(module, &thing_type) != 0) {
        Py_XDECREF(module);
        return nullptr;
    }
    return module;
}
