// interpreter: Python as a part of an application.
#pragma once

#include <handoff/gil.hpp>
#include <handoff/python_error.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/object.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace handoff {

/// Owns Python's life in an application that is not a Python command line.
///
///     handoff::interpreter python({.module_folders = {"scripts"}});
///     python.add_module("Foo", &PyInit_Foo);
///     python.start();                                       // the GIL is free on return
///     python.run_file("scripts/prepare.py");
///     auto const area = python.call<double>("geometry", "area", 2.0, 3.0);
///     python.stop();                                        // or the destructor
///
/// The members that run Python take the GIL for as long as it runs, and leave it as it was. What
/// the script raises arrives as python_error. Scripts share the module `__main__`.
///
/// GIL:     any on entry, the same on return, where a member does not say otherwise.
/// Threads: any may run Python; start() and stop() belong to one thread, which is Python's main
///          thread.
class interpreter {
public:
    struct options {
        /// sys.argv; the first is the program's name.
        std::vector<std::string> arguments = {""};
        /// Folders to find modules in, before Python's own. Python adds neither the current folder
        /// nor a script's by itself.
        std::vector<std::filesystem::path> module_folders = {};
        /// Reads neither PYTHON* variables nor the user's site-packages, as `python3 -I`.
        bool isolated = false;
        /// Python handles SIGINT and ignores SIGPIPE, as `python3`. Otherwise they stay yours.
        bool signal_handlers = false;
        /// A thread that waits longer for the GIL gets a report on stderr: handoff/watchdog.hpp.
        /// Unless isolated, HANDOFF_WATCHDOG says so too.
        std::optional<std::chrono::duration<double>> watchdog = {};
    };

    interpreter();
    explicit interpreter(options chosen);

    /// Stops, as stop() does, if it is running. What stop() would throw is lost.
    ~interpreter();

    interpreter(interpreter const&) = delete;
    interpreter& operator=(interpreter const&) = delete;

    /// As host::add_module.
    interpreter& add_module(std::string_view name, PyObject* (*init)());

    /// Starts Python. On return the calling thread is Python's main thread, and the GIL is free.
    /// Throws: std::logic_error when Python has started before in this process;
    ///         std::runtime_error when it cannot start.
    void start();

    /// Refuses further calls, waits for those in progress on other threads, stops every Foo, runs
    /// Python's own shutdown (threads joined, atexit) and ends it. Idempotent.
    /// A native thread that is still in Python after the gate's grace, or an on_message after
    /// its own, is named on stderr; then Python is not finalized, but left as it is.
    /// GIL:    not held on entry, nor on return.
    /// Throws: std::logic_error on another thread than start()'s, within a call, or with the GIL
    ///         held; std::runtime_error when buffered output could not be written, or when Python
    ///         was not finalized.
    void stop();

    [[nodiscard]] bool running() const noexcept;

    /// Runs a script as `__main__`, with `__file__` set to its path.
    /// Throws: python_error: what it raised; FileNotFoundError, IsADirectoryError, SyntaxError
    ///         (not UTF-8 and not declared otherwise, too) when it cannot be read or compiled;
    ///         std::logic_error when Python is not running.
    void run_file(std::filesystem::path const& script);

    /// Runs statements in `__main__`. `name` stands for the file in tracebacks.
    /// Throws: python_error; std::logic_error when Python is not running.
    void run_string(std::string_view statements, std::string_view name = "<string>");

    /// Calls module.function(arguments...) and converts its result.
    /// Throws: python_error, also for an argument or a result that Boost.Python cannot convert;
    ///         std::logic_error when Python is not running.
    template <class Result = void, class... Arguments>
    Result call(std::string_view module, std::string_view function, Arguments const&... arguments) {
        return invoke([&]() -> Result {
            boost::python::object const result = find(module, function)(arguments...);
            if constexpr (!std::is_void_v<Result>) {
                return boost::python::extract<Result>(result);
            }
        });
    }

    /// Calls `work` with the GIL held: C++ code that uses Boost.Python or the C API. Where a
    /// function of the C API fails, throw boost::python::error_already_set.
    /// Returns: what it returns; a C++ value, as the GIL is no longer held.
    /// Throws:  python_error for a Python error; what `work` throws; std::logic_error when Python
    ///          is not running.
    template <class Work>
    std::invoke_result_t<Work> invoke(Work&& work) {
        static_assert(!std::is_base_of_v<boost::python::api::object_base,
                                         std::decay_t<std::invoke_result_t<Work>>>,
                      "a Python object must not leave invoke(): nobody holds the GIL then; "
                      "convert it, or wrap it in handoff::gil_owned");
        call_in_progress const passage(*this);
        gil_acquire while_python_runs;
        try {
            return std::forward<Work>(work)();
        } catch (boost::python::error_already_set const&) {
            throw python_error::fetch();
        }
    }

private:
    struct life;

    /// Counts a call in for as long as it lives, so that stop() waits for it.
    class call_in_progress {
    public:
        explicit call_in_progress(interpreter& called);
        ~call_in_progress();
        call_in_progress(call_in_progress const&) = delete;
        call_in_progress& operator=(call_in_progress const&) = delete;

    private:
        interpreter& called_;
    };

    static boost::python::object find(std::string_view module, std::string_view function);

    std::unique_ptr<life> life_;
};

}  // namespace handoff
