// new_log_handler(): an instance of delivery.py's Handler, whose function is a C++ one.
#include "delivery.hpp"
#include <handoff/gil/detail/reference.hpp>
#include <handoff/logging/log_handler.hpp>
#include <handoff/python_error.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <utility>

namespace handoff {

namespace {

using function_type = std::function<void(python_log_record const&)>;

function_type* function_of(PyObject* capsule) noexcept {
    return static_cast<function_type*>(PyCapsule_GetPointer(capsule, nullptr));
}

/// The epoch if it is not a number, or is not in the years 1678 to 2261.
std::chrono::system_clock::time_point time_of(double seconds) noexcept {
    using system = std::chrono::system_clock;
    constexpr double most = 9.2e9;
    if (!(std::abs(seconds) < most)) {
        return {};
    }
    std::chrono::duration<double> const since_epoch(seconds);
    return system::time_point(std::chrono::duration_cast<system::duration>(since_epoch));
}

PyObject* emit(PyObject* capsule, PyObject* arguments) noexcept {
    char const* logger = nullptr;
    int level = 0;
    char const* text = nullptr;
    char const* file = nullptr;
    int line = 0;
    char const* function = nullptr;
    double created = 0;
    char const* thread = nullptr;
    Py_ssize_t logger_size = 0;
    Py_ssize_t text_size = 0;
    Py_ssize_t file_size = 0;
    Py_ssize_t function_size = 0;
    Py_ssize_t thread_size = 0;
    if (PyArg_ParseTuple(arguments, "s#is#s#is#ds#", &logger, &logger_size, &level, &text,
                         &text_size, &file, &file_size, &line, &function, &function_size, &created,
                         &thread, &thread_size) == 0) {
        return nullptr;
    }
    auto const view = [](char const* begin, Py_ssize_t size) {
        return std::string_view(begin, static_cast<std::size_t>(size));
    };
    try {
        (*function_of(capsule))({.logger = view(logger, logger_size),
                                 .level = static_cast<log_level>(level),
                                 .text = view(text, text_size),
                                 .file = view(file, file_size),
                                 .line = static_cast<unsigned>(line),
                                 .function = view(function, function_size),
                                 .time = time_of(created),
                                 .thread_name = view(thread, thread_size)});
    } catch (std::bad_alloc const&) {
        return PyErr_NoMemory();
    } catch (std::exception const& thrown) {
        if (PyErr_Occurred() == nullptr) {
            PyErr_SetString(PyExc_RuntimeError, thrown.what());
        }
        return nullptr;
    } catch (...) {
        if (PyErr_Occurred() == nullptr) {
            PyErr_SetString(PyExc_RuntimeError,
                            "a log handler's C++ function threw what is no "
                            "std::exception");
        }
        return nullptr;
    }
    return Py_NewRef(Py_None);
}

}  // namespace

PyObject* new_log_handler(function_type function) noexcept {
    static PyMethodDef definition{.ml_name = "emit",
                                  .ml_meth = &emit,
                                  .ml_flags = METH_VARARGS,
                                  .ml_doc = "Calls the C++ function."};
    if (!function) {
        PyErr_SetString(PyExc_ValueError, "new_log_handler() was given an empty function");
        return nullptr;
    }
    std::unique_ptr<function_type> owned;
    try {
        owned = std::make_unique<function_type>(std::move(function));
    } catch (std::bad_alloc const&) {
        return PyErr_NoMemory();
    }
    detail::reference const capsule(PyCapsule_New(
        owned.get(), nullptr, [](PyObject* dropped) { delete function_of(dropped); }));
    if (!capsule) {
        return nullptr;
    }
    static_cast<void>(owned.release());  // the capsule's
    detail::reference const callable(PyCFunction_New(&definition, capsule.get()));
    detail::reference const names = detail::log_delivery::load();
    if (!callable || !names) {
        return nullptr;
    }
    PyObject* const handler = PyDict_GetItemString(names.get(), "Handler");
    return PyObject_CallOneArg(handler, callable.get());
}

}  // namespace handoff
