// python_calls: inspects the callable itself, and calls nothing in Python.
#include "python_calls.hpp"

#include <cstddef>
#include <cstring>
#include <string_view>

namespace handoff::detail {

namespace {

// Of CPython 3.11 to 3.15, in builds that do not trace references. Source: cpython/object.h,
// cpython/classobject.h.
std::ptrdiff_t more_head = 0;  // of each object: it has more in a free-threaded build
constexpr std::ptrdiff_t type_of_object = 8;
constexpr std::ptrdiff_t function_of_method = 16;
constexpr std::ptrdiff_t flags_of_type = 168;
constexpr unsigned long is_heap_type = 1UL << 9U;
constexpr unsigned long is_type_subclass = 1UL << 31U;

void const* function_type = nullptr;
void const* method_type = nullptr;
bool is_known = false;

template <class Value>
Value read(void const* object, std::ptrdiff_t offset) noexcept {
    Value value{};
    std::memcpy(static_cast<void*>(&value), static_cast<char const*>(object) + more_head + offset,
                sizeof value);
    return value;
}

void const* type_of(void const* object) noexcept {
    return read<void const*>(object, type_of_object);
}

unsigned long flags_of(void const* type) noexcept {
    return read<unsigned long>(type, flags_of_type);
}

/// A function or a method that is written in Python; a class that is; or an object of such a class,
/// for example functools.partial or a class with __call__. A type that C code makes at run time
/// looks like one, and it may also call Python code.
bool is_python_code(void const* callable) noexcept {
    if (callable == nullptr) {
        return false;
    }
    void const* const type = type_of(callable);
    if (type == method_type) {
        return type_of(read<void const*>(callable, function_of_method)) == function_type;
    }
    bool const is_class = (flags_of(type) & is_type_subclass) != 0;
    return type == function_type || (flags_of(is_class ? callable : type) & is_heap_type) != 0;
}

bool has_methods_in_python(void const* object) noexcept {
    return object != nullptr && (flags_of(type_of(object)) & is_heap_type) != 0;
}

}  // namespace

void prepare_python_calls(running_python const& python) {
    more_head = python.is_free_threaded ? 16 : 0;
    function_type = python.object.find("PyFunction_Type").address;
    method_type = python.object.find("PyMethod_Type").address;
    void const* const type_type = python.object.find("PyType_Type").address;
    is_known = function_type != nullptr && method_type != nullptr && type_type != nullptr &&
               type_of(function_type) == type_type;
}

bool runs_python_code(char const* function, void* const* arguments) noexcept {
    std::string_view const name = function;
    if (!is_known) {
        return false;
    }
    if (name == "_Py_CheckFunctionResult") {  // after an inlined call
        return is_python_code(arguments[1]);
    }
    if (name == "PyObject_VectorcallMethod") {
        return has_methods_in_python(*static_cast<void* const*>(arguments[1]));
    }
    if (name.starts_with("PyObject_CallMethod") || name.starts_with("_PyObject_CallMethod")) {
        return has_methods_in_python(arguments[0]);
    }
    if (name == "PyObject_Calloc") {  // it calls nothing, and its argument is a number
        return false;
    }
    if (name.starts_with("PyObject_Call") || name.starts_with("PyEval_Call") ||
        name == "PyObject_Vectorcall" || name == "PyObject_VectorcallDict" ||
        name == "_PyObject_Vectorcall") {
        return is_python_code(arguments[0]);
    }
    return name.starts_with("PyRun_") || name.starts_with("PyImport_Import") ||
           name == "PyEval_EvalCode";
}

}  // namespace handoff::detail
