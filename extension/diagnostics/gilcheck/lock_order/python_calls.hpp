// python_calls: which calls into the C API run Python code.
#pragma once

#include "running_python.hpp"

namespace handoff::detail {

/// Call it first.
void prepare_python_calls(running_python const& python);

/// Whether it runs code that is written in Python, which may release the GIL at any moment: decided
/// by the function's name, and by what it calls. arguments: the first ones, as the registers
/// contain them.
/// GIL: held.
[[nodiscard]] bool runs_python_code(char const* function, void* const* arguments) noexcept;

}  // namespace handoff::detail
