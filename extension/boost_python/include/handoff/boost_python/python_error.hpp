// translate_python_errors(): a python_error that C++ code throws to Python is the exception that it
// was.
#pragma once

#include <handoff/python_error.hpp>

#include <boost/python/exception_translator.hpp>

namespace handoff {

/// Has Boost.Python raise, where a python_error leaves a function of a module, the same Python
/// exception with its traceback; by itself it raises a RuntimeError with the text. And for
/// no_python a RuntimeError. HANDOFF_PYTHON_MODULE and callback do it.
///
/// Translators are the process's, and the last that was registered is asked first: call it again
/// after somebody has registered one for a base class, as std::exception.
///
/// GIL:    held.
/// Source: libboost_python's src/errors.cpp.
inline void translate_python_errors() {
    boost::python::register_exception_translator<python_error>(
        [](python_error const& error) { error.restore(); });
}

}  // namespace handoff
