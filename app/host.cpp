// host: CPython's own main, step by step, so that a failure is an exit code.
#include "boost_pythons.hpp"
#include "command_line.hpp"
#include "installed_packages.hpp"
#include "startup.hpp"
#include "watch.hpp"
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gilcheck.hpp>
#include <handoff/giltrace.hpp>
#include <handoff/gilwatch.hpp>
#include <handoff/host.hpp>

#include <boost/version.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace handoff {

namespace {

/// A str as UTF-8; nothing if the object is not a str, or cannot be encoded. GIL: held.
std::optional<std::string> text(PyObject* object) {
    Py_ssize_t size = 0;
    char const* const utf8 = object != nullptr && PyUnicode_Check(object) != 0
                                 ? PyUnicode_AsUTF8AndSize(object, &size)
                                 : nullptr;
    if (utf8 == nullptr) {
        PyErr_Clear();
        return std::nullopt;
    }
    return std::string(utf8, static_cast<std::size_t>(size));
}

/// The value of `-X name=value`: Python stores options that it does not know. Returns nothing if it
/// was not given, and an empty text for `-X name`. GIL: held.
std::optional<std::string> option(char const* name) {
    PyObject* const options = PySys_GetObject("_xoptions");
    PyObject* const value = options != nullptr ? PyDict_GetItemString(options, name) : nullptr;
    if (value == nullptr) {
        return std::nullopt;
    }
    return text(value).value_or(std::string());  // without "=" it is True
}

/// Whether -E or -I was given. GIL: held.
bool environment_is_ignored() {
    PyObject* const flags = PySys_GetObject("flags");  // borrowed
    PyObject* const ignores =
        flags != nullptr ? PyObject_GetAttrString(flags, "ignore_environment") : nullptr;
    bool const is = ignores != nullptr && PyObject_IsTrue(ignores) == 1;
    Py_XDECREF(ignores);
    PyErr_Clear();
    return is;
}

/// The settings of `-X gilwatch[=SETTINGS]`, of its other name, or of the environment. GIL: held.
/// Throws: std::invalid_argument.
std::optional<gilwatch::settings> watch_asked_for() {
    for (char const* const name : {"gilwatch", "handoff-watchdog"}) {
        if (auto const settings = option(name)) {
            return watch::settings_from(*settings, std::string("-X ") + name);
        }
    }
    return environment_is_ignored() ? std::nullopt : watch::asked_for_by_environment();
}

/// Starts what `-X gilcheck[=SETTINGS]`, `-X giltrace=FILE` and `-X gilwatch[=SETTINGS]` request.
/// Returns whether that succeeded; if not, a message is on stderr.
bool start_diagnostics() {
    try {
        if (auto const settings = option("gilcheck")) {
            gilcheck::start(gilcheck::settings_from(*settings));
            Py_AtExit(&gilcheck::finish);  // after Ctrl-C Python ends by the signal, without exit()
        }
        if (auto const output = option("giltrace")) {
            auto const wanted = giltrace::settings_from(*output);
            giltrace::start(wanted.output, wanted.how);
            Py_AtExit(&giltrace::finish);
        }
        if (auto const settings = watch_asked_for()) {
            gilwatch::start(*settings);
        }
        return true;
    } catch (std::exception const& failure) {
        std::fprintf(stderr, "handoff: %s\n", failure.what());
    }
    return false;
}

/// For `-X handoff-version`: prints the version, and what it was built with. Returns whether the
/// option was given. GIL: held.
bool tell_version() {
    if (!option("handoff-version")) {
        return false;
    }
    std::printf("handoff %s (Python %s, Boost %d.%d.%d)\n", HANDOFF_VERSION, PY_VERSION,
                BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100);
    return true;
}

/// A virtual environment has packages for one version of Python. If the host is rebuilt for another
/// version, the environment's links lead to it, and it silently finds no packages. GIL: held.
void warn_of_environment_for_another_python() {
    auto const prefix = text(PySys_GetObject("prefix"));
    auto const base = text(PySys_GetObject("base_prefix"));
    std::string const python = "python" + std::to_string(PY_MAJOR_VERSION) + "." +
                               std::to_string(PY_MINOR_VERSION) +
                               (detail::attached_threads_exclude_each_other ? "" : "t");
    if (!prefix || prefix == base) {
        return;
    }
    std::error_code unknown;
    auto const packages = std::filesystem::status(*prefix + "/lib/" + python, unknown);
    if (packages.type() != std::filesystem::file_type::not_found) {
        return;
    }
    std::string const executable = text(PySys_GetObject("executable")).value_or("handoff");
    std::fprintf(stderr,
                 "handoff: the virtual environment %s has no packages for %s, which its python is "
                 "now. Prepare it with `'%s' -m venv --upgrade '%s'`, then install its packages "
                 "again\n",
                 prefix->c_str(), python.c_str(), executable.c_str(), prefix->c_str());
}

/// Before Python 3.14, sys.exit() finalizes Python and calls exit() inside Py_RunMain(), and only a
/// function of on_exit() receives the exit code. This one is registered last, so it is called
/// first, before the destructors of static objects.
void see_to_a_timely_end() {
    if (gil_gate::abandoned() > 0) {
        on_exit([](int code, void*) { startup::end_at_once(code); }, nullptr);
    }
}

}  // namespace

host& host::add_module(std::string_view name, PyObject* (*init)()) {
    startup::add_module(name, init);
    return *this;
}

int host::run(int argc, char* argv[]) {
    command_line const words(argc, argv);
    for (std::string_view const each : words.x_options) {
        if (auto const meant = option_meant_by(each)) {
            std::fprintf(stderr, "handoff: unknown option -X %.*s: did you mean -X %.*s?\n",
                         static_cast<int>(each.size()), each.data(),
                         static_cast<int>(meant->size()), meant->data());
            return 2;  // as python3 does if a command line is wrong
        }
    }
    startup::claim();
    linked_.say_if_another_is_installed();

    // As Modules/main.c does. The command line is read before the rest, for what decides how
    // the rest is decoded: -E, -I, -X utf8, the locale.
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    PyStatus status = Py_PreInitializeFromBytesArgs(&preconfig, argc, argv);
    if (PyStatus_Exception(status) == 0) {
        startup::config config;
        status = PyConfig_SetBytesArgv(config.get(), argc, argv);
        if (PyStatus_Exception(status) == 0) {
            detail::expect_the_gate_to_be_opened();  // below; a native thread may ask before
            status = Py_InitializeFromConfig(config.get());
        }
    }
    if (PyStatus_IsExit(status) != 0) {
        if (status.exitcode == 0 && !words.help.empty()) {  // which Python has printed
            std::string_view const help = help_for(words.help);
            std::fwrite(help.data(), 1, help.size(), stdout);
        }
        return status.exitcode;
    }
    if (PyStatus_Exception(status) != 0) {
        if (gil_held() && PyErr_Occurred() != nullptr) {
            PyErr_Print();  // why it could not start, in Python's words
        }
        std::fprintf(stderr, "%s\n", startup::message_of(status).c_str());
        return 1;
    }
    keep_boost_pythons_apart();
    warn_of_environment_for_another_python();
    if (tell_version()) {
        return Py_FinalizeEx() == 0 ? 0 : 120;  // as python3 does if stdout cannot be flushed
    }
    if (!start_diagnostics()) {
        Py_FinalizeEx();
        return 2;
    }
    if (!words.no_site) {
        find_installed_packages();
    }
    // Before the script registers anything at exit, so that the gate closes after all of it.
    if (!gil_gate::open()) {
        PyErr_Print();
        return 1;
    }
    Py_AtExit(&see_to_a_timely_end);  // called last, after Python is finalized
    int const code = Py_RunMain();
    if (gil_gate::abandoned() > 0) {
        startup::end_at_once(code);
    }
    return code;
}

}  // namespace handoff
