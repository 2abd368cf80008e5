// What all starts of Python share: the built-in modules, and that there is only one start.
#pragma once

#include <handoff/gil/python.hpp>

#include <string>
#include <string_view>

namespace handoff::startup {

/// Appends to Python's table of built-in modules.
/// Throws: std::invalid_argument, std::logic_error: see host::add_module.
/// Source: PyImport_AppendInittab may not be called after Py_Initialize; it keeps the pointer.
void add_module(std::string_view name, PyObject* (*init)());

/// Claims the process's one start of Python.
/// Throws: std::logic_error if it is taken, by Handoff or by other code that started Python.
void claim();

/// The message of a failed status, for stderr.
[[nodiscard]] std::string message_of(PyStatus const& failed);

/// Ends the process if threads were abandoned. A destructor of the program might destroy what they
/// still use, or join them, and their calls would return when there is no Python any more. stdio is
/// flushed.
[[noreturn]] void end_at_once(int code);

/// PyConfig_Clear() at the end of the scope.
class config {
public:
    config() noexcept { PyConfig_InitPythonConfig(&config_); }
    ~config() { PyConfig_Clear(&config_); }
    config(config const&) = delete;
    config& operator=(config const&) = delete;

    PyConfig* operator->() noexcept { return &config_; }
    PyConfig* get() noexcept { return &config_; }

private:
    PyConfig config_;
};

}  // namespace handoff::startup
