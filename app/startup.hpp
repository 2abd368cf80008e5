// What every start of Python has in common: the modules built in, and that there is one start.
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
/// Throws: std::logic_error when it is taken, by us or by whoever else started Python.
void claim();

/// What a failed status says, for stderr.
[[nodiscard]] std::string message_of(PyStatus const& failed);

/// Ends the process where threads were abandoned: a destructor of the program's may be of what they
/// still use, or join them, and a call of theirs that returns finds no Python. stdio is flushed.
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
