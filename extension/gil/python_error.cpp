// python_error: formatted by Python's own traceback module, or from the frames if that fails.
//
// No answer of a user's class is trusted. The type and the parts of an exception are read from the
// object and its type, not from attributes that the class may override. What can only be asked from
// the class may raise or have any type, and is checked.
#include <handoff/gil/detail/error_aside.hpp>
#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/raised.hpp>
#include <handoff/gil/try_acquire.hpp>
#include <handoff/python_error.hpp>

#include <cstddef>
#include <cstdio>
#include <new>
#include <string_view>
#include <utility>

namespace handoff {

namespace {

using detail::reference;

/// How many errors this thread is fetching, nested.
thread_local unsigned fetches_in_progress = 0;

struct fetch_in_progress {
    fetch_in_progress() noexcept { ++fetches_in_progress; }
    ~fetch_in_progress() { --fetches_in_progress; }
    fetch_in_progress(fetch_in_progress const&) = delete;
    fetch_in_progress& operator=(fetch_in_progress const&) = delete;
};

/// As UTF-8; what cannot be encoded is escaped. Returns `otherwise` if it is not a str. Calls no
/// method of a subclass of str.
std::string text(PyObject* string, std::string_view otherwise) {
    if (string != nullptr && PyUnicode_Check(string) != 0) {
        reference const encoded(PyUnicode_AsEncodedString(string, "utf-8", "backslashreplace"));
        if (encoded != nullptr) {
            return {PyBytes_AS_STRING(encoded.get()),
                    static_cast<std::size_t>(PyBytes_GET_SIZE(encoded.get()))};
        }
    }
    PyErr_Clear();
    return std::string(otherwise);
}

/// str(exception), which runs the user's code and may raise.
std::string message_of(PyObject* exception) {
    reference const string(PyObject_Str(exception));
    return text(string.get(), "<exception str() failed>");  // the text that python3 prints
}

/// The value of `type.__module__` without a metaclass that overrides it; empty if it is not a str.
std::string module_of(PyTypeObject* type) {
    if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
        std::string_view const name(type->tp_name);
        auto const dot = name.rfind('.');
        return dot == std::string_view::npos ? "builtins" : std::string(name.substr(0, dot));
    }
#if PY_VERSION_HEX >= 0x030C0000
    reference const names(PyType_GetDict(type));
#else
    reference const names(Py_XNewRef(type->tp_dict));
#endif
    reference const key(PyUnicode_InternFromString("__module__"));
    PyObject* const module = names != nullptr && key != nullptr
                                 ? PyDict_GetItemWithError(names.get(), key.get())  // borrowed
                                 : nullptr;
    reference const kept(Py_XNewRef(module));
    return text(kept.get(), "");
}

std::string name_of(PyTypeObject* type) {
    reference const qualified(PyType_GetQualName(type));
    std::string name = text(qualified.get(), type->tp_name);
    std::string const module = module_of(type);
    return module.empty() || module == "builtins" || module == "__main__" ? name
                                                                          : module + "." + name;
}

/// "Type: message", the last line of a traceback.
std::string title(std::string const& type, std::string const& message) {
    return message.empty() ? type : type + ": " + message;
}

std::string line_of(PyTracebackObject const* entry) {
    reference const owned(reinterpret_cast<PyObject*>(PyFrame_GetCode(entry->tb_frame)));
    auto* const code = reinterpret_cast<PyCodeObject*>(owned.get());
    // Not entry->tb_lineno, which since 3.12 is computed only on request.
    int const line = PyCode_Addr2Line(code, entry->tb_lasti);
    return "  File \"" + text(code->co_filename, "?") + "\", line " + std::to_string(line) +
           ", in " + text(code->co_name, "?") + "\n";
}

/// The frames, without the help of Python code: no source lines, no causes.
std::string frames_of(PyObject* traceback) {
    std::string lines;
    std::string previous;
    int repeated = 0;
    auto const end_repetition = [&] {
        if (repeated > 0) {
            lines += "  [Previous line repeated " + std::to_string(std::exchange(repeated, 0)) +
                     " more times]\n";
        }
    };
    for (auto const* entry = reinterpret_cast<PyTracebackObject const*>(traceback);
         entry != nullptr; entry = entry->tb_next) {
        std::string line = line_of(entry);
        if (line == previous) {
            ++repeated;
            continue;
        }
        end_repetition();
        lines += line;
        previous = std::move(line);
    }
    end_repetition();
    return lines.empty() ? lines : "Traceback (most recent call last):\n" + lines;
}

/// The result of traceback.format_exception(); empty if that fails.
std::string formatted(PyObject* exception, PyObject* traceback) {
    reference const module(PyImport_ImportModule("traceback"));
    reference const lines(module != nullptr
                              ? PyObject_CallMethod(module.get(), "format_exception", "OOO",
                                                    reinterpret_cast<PyObject*>(Py_TYPE(exception)),
                                                    exception,
                                                    traceback != nullptr ? traceback : Py_None)
                              : nullptr);
    reference const nothing(lines != nullptr ? PyUnicode_FromString("") : nullptr);
    reference const whole(nothing != nullptr ? PyUnicode_Join(nothing.get(), lines.get())
                                             : nullptr);
    return text(whole.get(), "");
}

/// Source: CPython's _Py_HandleSystemExit: None is 0, an integer itself, all else 1.
std::optional<int> exit_code_of(PyObject* exception) {
    if (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit) == 0) {
        return std::nullopt;
    }
    reference const code(PyObject_GetAttrString(exception, "code"));  // a subclass may override it
    if (code.get() == Py_None) {
        return 0;
    }
    if (code == nullptr || PyLong_Check(code.get()) == 0) {
        PyErr_Clear();
        return 1;
    }
    long const number = PyLong_AsLong(code.get());
    PyErr_Clear();
    return static_cast<int>(number);
}

/// Sets it as the error, with its traceback.
void restore_exception(PyObject* exception) noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(Py_NewRef(exception));
#else
    PyErr_Restore(Py_NewRef(PyExceptionInstance_Class(exception)), Py_NewRef(exception),
                  PyException_GetTraceback(exception));
#endif
}

}  // namespace

python_error::python_error(std::string type, std::string message, std::string traceback,
                           std::optional<int> exit_code, gil_shared<reference> raised)
    : std::runtime_error(title(type, message)),
      type_(std::move(type)),
      message_(std::move(message)),
      traceback_(std::move(traceback)),
      exit_code_(exit_code),
      exception_(std::move(raised)) {}

python_error python_error::fetch() {
    reference exception(take_raised_exception());
    if (exception == nullptr) {
        std::string message = "a Python error was reported, but none is set";
        std::string traceback = "SystemError: " + message + "\n";
        return {"SystemError", std::move(message), std::move(traceback), std::nullopt, {}};
    }
    bool const is_within_another = fetches_in_progress > 0;
    fetch_in_progress const noted;
    std::string type = name_of(Py_TYPE(exception.get()));
    std::string message = message_of(exception.get());
    reference const stack(PyException_GetTraceback(exception.get()));
    std::string traceback;
    if (!is_within_another) {
        traceback = formatted(exception.get(), stack.get());
    }
    if (traceback.empty()) {
        traceback = frames_of(stack.get()) + title(type, message) + "\n";
    }
    std::optional<int> const exit_code = exit_code_of(exception.get());
    return {std::move(type), std::move(message), std::move(traceback), exit_code,
            gil_shared<reference>(std::move(exception))};
}

void python_error::restore() const noexcept {
    if (exception_ && exception_.is_usable()) {
        restore_exception(exception_.get().get());
    } else {
        PyErr_SetString(exception_ ? PyExc_RuntimeError : PyExc_SystemError, what());
    }
}

void python_error::report() const noexcept {
    try {
        if (gil_try_acquire gil; gil) {
            detail::error_aside const meanwhile;
            detail::rather_hang([this] {
                reference const where(PyUnicode_FromString("C++ code that calls Python"));
                restore();
                PyErr_WriteUnraisable(where.get());
            });
            return;
        }
    } catch (std::bad_alloc const&) {  // NOLINT(bugprone-empty-catch): reported below
    }
    std::fprintf(stderr, "Exception ignored in: C++ code that calls Python\n%s",
                 traceback_.c_str());
}

no_python::no_python(std::string const& wanted)
    : std::runtime_error(
          wanted + (gil_gate::was_opened()
                        ? ": Python is ending, or has ended"
                        : ": Python has not begun, or handoff::gil_gate::open() was not called")) {}

}  // namespace handoff
