// The table of built-in modules and the one start.
#include "startup.hpp"

#include <handoff/giltrace.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <new>
#include <stdexcept>

namespace handoff::startup {

namespace {

std::atomic<bool> claimed = false;

bool is_identifier(std::string_view name) {
    auto const is_letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    bool first = true;
    for (char const c : name) {
        if (!is_letter(c) && (first || c < '0' || c > '9')) {
            return false;
        }
        first = false;
    }
    return !name.empty();
}

bool is_built_in(std::string_view name) {
    for (_inittab const* entry = PyImport_Inittab; entry->name != nullptr; ++entry) {
        if (name == entry->name) {
            return true;
        }
    }
    return false;
}

}  // namespace

void add_module(std::string_view name, PyObject* (*init)()) {
    std::string const quoted = "module '" + std::string(name) + "'";
    if (claimed || Py_IsInitialized() != 0) {
        throw std::logic_error(quoted + " comes too late: modules are added before Python starts");
    }
    if (!is_identifier(name)) {
        throw std::invalid_argument(quoted + " cannot be imported: its name is not an identifier");
    }
    if (init == nullptr) {
        throw std::invalid_argument(quoted + " has no init function");
    }
    if (is_built_in(name)) {
        throw std::invalid_argument(quoted + " is built in already");
    }
    static std::deque<std::string> names;  // Python keeps the pointers
    if (PyImport_AppendInittab(names.emplace_back(name).c_str(), init) != 0) {
        throw std::bad_alloc();
    }
}

void claim() {
    if (claimed.exchange(true) || Py_IsInitialized() != 0) {
        throw std::logic_error(
            "Python has been started in this process before; it starts once, because extension "
            "modules such as Boost.Python's do not survive a second start");
    }
}

std::string message_of(PyStatus const& failed) {
    std::string message = "cannot start Python: ";
    if (failed.func != nullptr) {
        message.append(failed.func).append(": ");
    }
    return message.append(failed.err_msg != nullptr ? failed.err_msg : "unknown error");
}

void end_at_once(int code) {
    giltrace::finish();
    // A thread that waits for input keeps stdin locked; a flush of all streams would wait for it.
    if (ftrylockfile(stdin) == 0) {
        std::fflush(nullptr);
    } else {
        std::fflush(stdout);
        std::fflush(stderr);
    }
    std::_Exit(code);
}

}  // namespace handoff::startup
