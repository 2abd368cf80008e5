// operation_error: the error code with which an operation completed, as Python knows such errors.
#pragma once

#include <handoff/gil/python.hpp>

#include <system_error>

namespace handoff {

/// What a completion_handler stores if it is called with an error code. In Python:
///
///     the error code     is raised as
///     of the system      the OSError of that errno, such as ConnectionRefusedError
///     any other          OSError, with the category's name, the number and the text
///
/// An awaitable's exception of this type needs no translator.
class [[gnu::visibility("default")]] operation_error : public std::system_error {
public:
    using std::system_error::system_error;

    /// Sets it as the Python error. GIL: held.
    void restore() const;
};

}  // namespace handoff
