// python_code: compiles and evaluates.
#include "python_code.hpp"

#include <mutex>
#include <type_traits>

namespace handoff::detail {

namespace {

struct functions {
    void* (*compile)(char const*, char const*, int) = nullptr;  // Py_CompileString()
    void* (*evaluate)(void*, void*, void*) = nullptr;           // PyEval_EvalCode()
    void* (*new_dict)() = nullptr;                              // PyDict_New()
    void (*drop)(void*) = nullptr;  // Py_DecRef(), which takes null, too
    void (*clear_error)() = nullptr;  // PyErr_Clear()
};
functions python;

}  // namespace

void prepare_python_code(loaded_object const& interpreter) {
    static constinit std::once_flag looked_up;
    std::call_once(looked_up, [&] {
        auto const look_up = [&](auto& function, char const* name) {
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
                interpreter.find(name).address);
        };
        look_up(python.compile, "Py_CompileString");
        look_up(python.evaluate, "PyEval_EvalCode");
        look_up(python.new_dict, "PyDict_New");
        look_up(python.drop, "Py_DecRef");
        look_up(python.clear_error, "PyErr_Clear");
    });
}

bool run_python(char const* statements) noexcept {
    constexpr int file_input = 257;  // Py_file_input
    void* const code = python.compile(statements, file_of_python_code, file_input);
    void* const names = code == nullptr ? nullptr : python.new_dict();
    void* const result = names == nullptr ? nullptr : python.evaluate(code, names, names);
    if (result == nullptr) {
        python.clear_error();
    }
    python.drop(result);
    python.drop(names);
    python.drop(code);
    return result != nullptr;
}

}  // namespace handoff::detail
