// python_code: runs Python statements of a tool without a trace in the program.
#pragma once

#include "loaded_objects.hpp"

namespace handoff::detail {

/// The file that the statements are from, as Python sees it.
inline constexpr char const* file_of_python_code = "<gil tools>";

/// Looks up the functions that run_python() calls, once. Threads: any.
void prepare_python_code(loaded_object const& interpreter);

/// Runs the statements in a namespace of their own. Returns: whether none has raised; an exception
/// is cleared.
///
/// PyRun_SimpleString() would run them in __main__, print the exception, and forget that a
/// KeyboardInterrupt is ending Python: the process would exit with 1 instead of dying of SIGINT.
/// GIL:     held.
/// Source:  run_eval_code_obj() in CPython's Python/pythonrun.c: unhandled_keyboard_interrupt.
[[nodiscard]] bool run_python(char const* statements) noexcept;

}  // namespace handoff::detail
