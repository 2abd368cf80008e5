// python_calls: which calls into the C API run Python code.
#pragma once

#include "running_python.hpp"

namespace handoff::detail {

/// Before the other.
void prepare_python_calls(running_python const& python);

/// Whether it runs code that is written in Python, which may let go of the GIL at any moment: by
/// the function's name, and by what it calls. arguments: the first, as its registers have them.
/// GIL: held.
[[nodiscard]] bool runs_python_code(char const* function, void* const* arguments) noexcept;

}  // namespace handoff::detail
