// translate_python_errors(): a python_error that reaches Python becomes the original exception.
#pragma once

#include <handoff/python_error.hpp>

#include <boost/python/exception_translator.hpp>

namespace handoff {

/// When a python_error leaves a module's function, makes Boost.Python raise the original Python
/// exception with its traceback; by itself it raises a RuntimeError with the text. A no_python
/// becomes a RuntimeError. HANDOFF_PYTHON_MODULE and callback call this function.
///
/// Translators belong to the process, and the last that was registered is tried first. Call it
/// again after other code has registered one for a base class such as std::exception.
///
/// GIL:    held.
/// Source: libboost_python's src/errors.cpp.
inline void translate_python_errors() {
    boost::python::register_exception_translator<python_error>(
        [](python_error const& error) { error.restore(); });
}

}  // namespace handoff
