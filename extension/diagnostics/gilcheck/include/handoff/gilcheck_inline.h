/* gilcheck_inline: lets gilcheck see what the compiler would otherwise inline.
 *
 * Force it into every file of a module (`-include handoff/gilcheck_inline.h`, or the CMake target
 * handoff::gilcheck_inline). It replaces the reference counting of Python.h by calls of
 * Py_IncRef() and Py_DecRef(), which do the same, and which gilcheck checks like any other call.
 * Without gilcheck the module works as before, a little slower. For C and C++.
 *
 * Source: CPython's Include/object.h (from 3.12 on refcount.h), cpython/listobject.h and
 *         cpython/tupleobject.h.
 */
#ifndef HANDOFF_GILCHECK_INLINE_H
#define HANDOFF_GILCHECK_INLINE_H

/* What is compiled without Python's headers counts no references: CMake's test of a compiler, say. */
#if __has_include(<Python.h>)

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN /* as the file itself may ask for, when it is too late */
#endif
#include <Python.h>

static inline PyObject* handoff_new_reference(PyObject* object) {
    Py_IncRef(object);
    return object;
}

#undef Py_INCREF
#undef Py_XINCREF
#undef Py_DECREF
#undef Py_XDECREF
#undef Py_NewRef
#undef Py_XNewRef
#define Py_INCREF(object) Py_IncRef(_PyObject_CAST(object))
#define Py_XINCREF(object) Py_IncRef(_PyObject_CAST(object))
#define Py_DECREF(object) Py_DecRef(_PyObject_CAST(object))
#define Py_XDECREF(object) Py_DecRef(_PyObject_CAST(object))
#define Py_NewRef(object) handoff_new_reference(_PyObject_CAST(object))
#define Py_XNewRef(object) handoff_new_reference(_PyObject_CAST(object))

#if !defined(Py_LIMITED_API)
/* Py_IncRef() does nothing to NULL, but is checked. */
static inline void handoff_set_list_item(PyObject* list, Py_ssize_t index, PyObject* item) {
    Py_IncRef(NULL);  // NOLINT(modernize-use-nullptr): this is C, too
    PyList_SET_ITEM(list, index, item);
}

static inline void handoff_set_tuple_item(PyObject* tuple, Py_ssize_t index, PyObject* item) {
    Py_IncRef(NULL);  // NOLINT(modernize-use-nullptr): this is C, too
    PyTuple_SET_ITEM(tuple, index, item);
}

#undef PyList_SET_ITEM
#undef PyTuple_SET_ITEM
#define PyList_SET_ITEM(list, index, item) \
    handoff_set_list_item(_PyObject_CAST(list), (index), _PyObject_CAST(item))
#define PyTuple_SET_ITEM(tuple, index, item) \
    handoff_set_tuple_item(_PyObject_CAST(tuple), (index), _PyObject_CAST(item))
#endif

#endif

#endif
