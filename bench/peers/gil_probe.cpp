// Module gil_probe: how long a thread waits for the GIL, measured where Python cannot; and handoffs
// and locks of which nothing else is made.
#include <Python.h>

#include <chrono>
#include <mutex>
#include <thread>

namespace {

using clock_type = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;

/// sleep(seconds) -> how many seconds it then waited for the GIL. The sleep itself may take longer
/// than asked; that is the kernel's doing, and not in the result.
PyObject* sleep(PyObject* /*module*/, PyObject* argument) {
    double const asked = PyFloat_AsDouble(argument);
    if (asked == -1.0 && PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    PyThreadState* const state = PyEval_SaveThread();
    std::this_thread::sleep_for(seconds(asked));
    auto const begin = clock_type::now();
    PyEval_RestoreThread(state);
    return PyFloat_FromDouble(seconds(clock_type::now() - begin).count());
}

/// hand_over() drops the GIL and takes it again.
PyObject* hand_over(PyObject* /*module*/, PyObject* /*unused*/) {
    PyEval_RestoreThread(PyEval_SaveThread());
    Py_RETURN_NONE;
}

std::mutex locked_often;
std::mutex held_meanwhile;

void lock_often(long times) {
    for (long each = 0; each < times; ++each) {
        std::scoped_lock const held(locked_often);
    }
}

void lock_often_nested(long times) {
    std::scoped_lock const held(held_meanwhile);
    lock_often(times);
}

void hand_over_often(long times) {
    for (long each = 0; each < times; ++each) {
        PyEval_RestoreThread(PyEval_SaveThread());
    }
}

/// f(times), for a script; with the GIL held.
template <void (*Work)(long)>
PyObject* with_gil(PyObject* /*module*/, PyObject* argument) {
    long const times = PyLong_AsLong(argument);
    if (times == -1 && PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    Work(times);
    Py_RETURN_NONE;
}

/// The same, with the GIL released.
template <void (*Work)(long)>
void released(long times) {
    PyThreadState* const state = PyEval_SaveThread();
    Work(times);
    PyEval_RestoreThread(state);
}

PyMethodDef methods[] = {
    {.ml_name = "sleep",
     .ml_meth = &sleep,
     .ml_flags = METH_O,
     .ml_doc = "sleep(seconds) -> seconds that it then waited for the GIL"},
    {.ml_name = "hand_over",
     .ml_meth = &hand_over,
     .ml_flags = METH_NOARGS,
     .ml_doc = "drops the GIL and takes it again"},
    {.ml_name = "hand_over_often",
     .ml_meth = &with_gil<&hand_over_often>,
     .ml_flags = METH_O,
     .ml_doc = "hand_over_often(times)"},
    {.ml_name = "lock_often",
     .ml_meth = &with_gil<&lock_often>,
     .ml_flags = METH_O,
     .ml_doc = "lock_often(times): a mutex, with the GIL held"},
    {.ml_name = "lock_often_alone",
     .ml_meth = &with_gil<&released<&lock_often>>,
     .ml_flags = METH_O,
     .ml_doc = "lock_often_alone(times): a mutex, with nothing else held"},
    {.ml_name = "lock_often_nested",
     .ml_meth = &with_gil<&released<&lock_often_nested>>,
     .ml_flags = METH_O,
     .ml_doc = "lock_often_nested(times): a mutex, with another one held"},
    {},
};

PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT,
                          .m_name = "gil_probe",
                          .m_doc = nullptr,
                          .m_size = 0,
                          .m_methods = methods,
                          .m_slots = nullptr,
                          .m_traverse = nullptr,
                          .m_clear = nullptr,
                          .m_free = nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_gil_probe() { return PyModule_Create(&definition); }
