// log_delivery: converts a record's values to Python, and calls delivery.py.
#include "delivery.hpp"

#include <chrono>
#include <string_view>

extern char const* const handoff_log_delivery;

namespace handoff::detail {

namespace {

PyObject* decoded(std::string_view text) noexcept {
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()),
                                "backslashreplace");
}

long long nanoseconds(std::chrono::system_clock::time_point time) noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

reference log_delivery::load() noexcept {
    reference names(PyDict_New());
    reference const name(PyUnicode_FromString("handoff.logging"));
    reference const code(
        Py_CompileString(handoff_log_delivery, "<handoff.logging>", Py_file_input));
    if (!names || !name || !code ||
        PyDict_SetItemString(names.get(), "__builtins__", PyEval_GetBuiltins()) != 0 ||
        PyDict_SetItemString(names.get(), "__name__", name.get()) != 0) {
        return nullptr;
    }
    reference const ran(PyEval_EvalCode(code.get(), names.get(), names.get()));
    return ran ? std::move(names) : nullptr;
}

log_delivery::log_delivery(PyObject* names_of_delivery) noexcept
    : names_(names_of_delivery), threads_(call("names_of_threads", PyTuple_New(0))) {
    if (!threads_) {
        PyErr_WriteUnraisable(names_);
        threads_.reset(PyDict_New());
    }
}

bool log_delivery::deliver(log_record const& record) noexcept {
    reference done;
    if (record.name == nullptr) {
        has_written_ = true;
        done = call("write", Py_BuildValue("(sN)", record.stream, decoded(record.text.view())));
    } else if (threads_) {
        done = call(
            "handle",
            Py_BuildValue("(ONiNINNLkiN)", threads_.get(), decoded(*record.name), record.level,
                          decoded(record.file), record.line, decoded(record.function),
                          decoded(record.text.view()), nanoseconds(record.time), record.ident,
                          static_cast<int>(record.native_id), decoded(record.thread_name.data())));
    } else if (PyErr_Occurred() == nullptr) {
        PyErr_NoMemory();
    }
    if (!done) {
        PyErr_WriteUnraisable(nullptr);
    }
    return done != nullptr;
}

void log_delivery::flush() noexcept {
    if (has_written_ && !call("flush", PyTuple_New(0))) {
        PyErr_WriteUnraisable(nullptr);
    }
}

reference log_delivery::call(char const* function, PyObject* arguments) noexcept {
    reference const owned(arguments);
    PyObject* const callable = PyDict_GetItemString(names_, function);  // borrowed
    return reference(owned && callable != nullptr ? PyObject_CallObject(callable, owned.get())
                                                  : nullptr);
}

}  // namespace handoff::detail
