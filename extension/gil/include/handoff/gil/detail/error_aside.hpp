// error_aside: code that runs Python code keeps the error that was set before.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// Takes the error that is set in this thread, if any, and sets it again at the end; an error that
/// was set meanwhile is replaced. GIL: held when it is made, and when it is destroyed.
class error_aside {
public:
    error_aside() noexcept { PyErr_Fetch(&type_, &value_, &traceback_); }
    ~error_aside() { PyErr_Restore(type_, value_, traceback_); }
    error_aside(error_aside const&) = delete;
    error_aside& operator=(error_aside const&) = delete;

private:
    PyObject* type_ = nullptr;
    PyObject* value_ = nullptr;
    PyObject* traceback_ = nullptr;
};

}  // namespace handoff::detail
