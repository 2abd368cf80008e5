// host: CPython's own main, step by step, so that a failure is an exit code.
#include "startup.hpp"
#include <handoff/gil/gate.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/host.hpp>
#include <handoff/watchdog.hpp>

#include <boost/python/errors.hpp>

#include <cstdio>
#include <exception>

namespace handoff {

namespace {

/// As the command line and the environment say. Returns whether they could be followed; a message
/// on stderr if not.
bool start_watchdog() {
    try {
        if (auto const patience = watchdog::asked_for()) {
            watchdog::start(*patience);
        }
        return true;
    } catch (std::exception const& failure) {
        std::fprintf(stderr, "handoff: %s\n", failure.what());
    } catch (boost::python::error_already_set const&) {
        PyErr_Print();
    }
    return false;
}

}  // namespace

host& host::add_module(std::string_view name, PyObject* (*init)()) {
    startup::add_module(name, init);
    return *this;
}

int host::run(int argc, char* argv[]) {
    startup::claim();

    // As Modules/main.c does. The command line is read before the rest, for what decides how
    // the rest is decoded: -E, -I, -X utf8, the locale.
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    PyStatus status = Py_PreInitializeFromBytesArgs(&preconfig, argc, argv);
    if (PyStatus_Exception(status) == 0) {
        startup::config config;
        status = PyConfig_SetBytesArgv(config.get(), argc, argv);
        if (PyStatus_Exception(status) == 0) {
            status = Py_InitializeFromConfig(config.get());
        }
    }
    if (PyStatus_IsExit(status) != 0) {
        return status.exitcode;
    }
    if (PyStatus_Exception(status) != 0) {
        if (gil_held() && PyErr_Occurred() != nullptr) {
            PyErr_Print();  // what kept it from starting, in Python's words
        }
        std::fprintf(stderr, "%s\n", startup::message_of(status).c_str());
        return 1;
    }
    // Before the script registers anything at exit, so that the gate closes after all of it, and
    // the watchdog ends last.
    if (!start_watchdog()) {
        Py_FinalizeEx();
        return 1;
    }
    if (!gil_gate::open()) {
        PyErr_Print();
        return 1;
    }
    return Py_RunMain();
}

}  // namespace handoff
