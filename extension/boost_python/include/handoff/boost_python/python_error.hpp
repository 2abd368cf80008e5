// translate_python_errors(): a python_error that C++ code throws to Python is the exception that it
// was.
#pragma once

#include <handoff/python_error.hpp>

#include <boost/python/exception_translator.hpp>

namespace handoff {

/// Has Boost.Python raise, where a python_error leaves a function of a module, the same Python
/// exception with its traceback; by itself it raises a RuntimeError with the text. And for
/// no_python a RuntimeError. Once for a process; HANDOFF_PYTHON_MODULE and callback do it.
///
/// GIL:    held.
/// Source: Boost.Python's translators are the process's: libboost_python keeps them.
inline void translate_python_errors() {
    [[maybe_unused]] static bool const is_done = [] {
        boost::python::register_exception_translator<python_error>(
            [](python_error const& error) { error.restore(); });
        return true;
    }();
}

}  // namespace handoff
