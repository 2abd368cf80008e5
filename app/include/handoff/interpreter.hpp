// interpreter: Python as a part of an application.
#pragma once

#ifndef HANDOFF_INTERPRETER
#error "Link the target handoff::interpreter: target_link_libraries(... handoff::interpreter)"
#endif

#include <handoff/boost_python/detail/name_result.hpp>
#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/detail/conversion.hpp>
#include <handoff/detail/linked_python.hpp>
#include <handoff/gil.hpp>
#include <handoff/keyword.hpp>
#include <handoff/python_error.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/object.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace handoff {

/// Asks run_file() for a namespace that only the script uses.
struct fresh_namespace_t {
    explicit fresh_namespace_t() = default;
};
inline constexpr fresh_namespace_t fresh_namespace{};

/// Owns Python's life in an application that is not a Python command line.
///
///     handoff::interpreter python({.module_folders = {"scripts"}});
///     python.add_module("Foo", &PyInit_Foo);
///     python.start();                                       // the GIL is free on return
///     python.run_file("scripts/prepare.py");
///     auto const area = python.call<double>("geometry", "area", 2.0, 3.0);
///     python.stop();                                        // or the destructor
///
/// The members that run Python take the GIL for as long as it runs, and leave it as it was. An
/// exception of the script arrives as python_error. Scripts share the module `__main__`.
///
/// GIL:     any on entry, the same on return, unless a member says otherwise.
/// Threads: any may run Python. One thread calls start() and stop(); it is Python's main thread.
class interpreter {
public:
    struct options {
        /// sys.argv; the first is the program's name. They have no other effect.
        std::vector<std::string> arguments = {""};
        /// Folders in which modules are found before Python's own. Python adds neither the current
        /// folder nor a script's by itself.
        std::vector<std::filesystem::path> module_folders = {};
        /// Reads neither PYTHON* variables nor the user's site-packages, like `python3 -I`.
        bool isolated = false;
        /// Python handles SIGINT and ignores SIGPIPE, like `python3`. Otherwise both stay yours.
        bool signal_handlers = false;
        /// If a thread waits longer for the GIL, stderr gets a report: handoff/gilwatch.hpp.
        /// Unless isolated, HANDOFF_WATCHDOG sets it too.
        std::optional<std::chrono::duration<double>> watchdog = {};
        /// sys.executable: the program that multiprocessing and subprocesses of scripts start.
        /// Empty: the Python that Handoff was built for, or, if that is not installed, the one of
        /// this version on PATH. That Python does not know the modules that are added here. Use the
        /// application itself only if it can run a Python command line: handoff/host.hpp.
        std::filesystem::path python_executable = {};
        /// The folder of a virtual environment, made by `python3 -m venv`, whose packages scripts
        /// can import. Its python becomes sys.executable. Empty: no environment is used, not even
        /// an activated one.
        std::filesystem::path virtual_environment = {};
        /// How long stop() waits for calls that are in progress on other threads.
        std::chrono::duration<double> stop_grace = std::chrono::seconds(10);
        /// Called with what Python writes to sys.stdout and sys.stderr, each write at once, as
        /// UTF-8 (what is not text for it appears as \\udcff). Empty: the process's own streams.
        ///
        /// GIL:     released, so it may take any lock and wait for other threads.
        /// Threads: the thread that writes; several may at once.
        /// Throws:  an exception is raised in Python, where it was written.
        /// Life:    until stop() has returned. If stop() throws because Python was not finalized,
        ///          or because a thread did not return from the function within `stop_grace`,
        ///          until the process ends.
        std::function<void(std::string_view)> output = {};
        std::function<void(std::string_view)> errors = {};
    };

    /// Do not pass the last argument.
    explicit interpreter(detail::linked_python linked = HANDOFF_PYTHON_OF_THIS_PROGRAM);
    explicit interpreter(options chosen,
                         detail::linked_python linked = HANDOFF_PYTHON_OF_THIS_PROGRAM);

    /// Stops as stop() does, if it is running. An exception of stop() is lost; its messages on
    /// stderr are not.
    ~interpreter();

    interpreter(interpreter const&) = delete;
    interpreter& operator=(interpreter const&) = delete;

    /// As host::add_module.
    interpreter& add_module(std::string_view name, PyObject* (*init)());

    /// Starts Python. If Python was updated, says the same on stderr as host::run(). On return
    /// the calling thread is Python's main thread, and the GIL is free.
    /// Throws: std::logic_error if Python has been started before in this process;
    ///         std::runtime_error if it cannot start. If the reason is an option or
    ///         HANDOFF_WATCHDOG, Python has not been started: another interpreter may start it.
    void start();

    /// Refuses further calls, waits for those in progress on other threads, stops every Foo, runs
    /// Python's own shutdown (threads joined, atexit) and ends it. Idempotent.
    ///
    /// If a call does not return within `stop_grace`, or, with `signal_handlers`, until Ctrl-C,
    /// stderr and the exception name it. Nothing above is done then. Python goes on, with it, until
    /// the process ends. The process then runs neither the destructors of static objects nor
    /// atexit() functions of C, because the call may use what they destroy; stdio is flushed. If a
    /// native thread is still in Python after the gate's grace, or an on_message after its own,
    /// stderr names it. Then Python is not finalized, but left as it is.
    /// GIL:    not held on entry, nor on return.
    /// Throws: std::logic_error on another thread than start()'s, inside a call, or with the GIL
    ///         held; std::runtime_error if buffered output could not be written, if Python was
    ///         not finalized, or if a function for its output did not return in time.
    void stop();

    [[nodiscard]] bool running() const noexcept;

    /// Runs a script as `__main__`, with `__file__` set to its path.
    /// Throws: python_error: what it raised; FileNotFoundError, IsADirectoryError, SyntaxError
    ///         (also if it is not UTF-8 and does not declare its encoding) if it cannot be read or
    ///         compiled; std::logic_error if Python is not running.
    void run_file(std::filesystem::path const& script);

    /// The same with global names that only this script sees: those of `__main__` are
    /// neither read nor changed. `__name__` is "__main__" for it, too.
    void run_file(std::filesystem::path const& script, fresh_namespace_t);

    /// Runs statements in `__main__`. `name` stands for the file in tracebacks.
    /// Throws: python_error; std::logic_error if Python is not running.
    void run_string(std::string_view statements, std::string_view name = "<string>");

    /// Calls module.function(arguments...) and converts its result.
    ///
    ///     python.call("geometry", "Shape.register", "square", handoff::keyword("sides") = 4);
    ///
    /// `function` may have dots: "datetime.now" of the module datetime. Arguments may be everything
    /// that Boost.Python converts, and also: any text as str, std::filesystem::path as
    /// pathlib.Path, std::vector as list, std::optional as its value or None, nullptr as None.
    /// The same holds for results; a vector is made from any iterable, a path from any path-like
    /// object. A Result that would refer to the Python object (T&, T*, char const*,
    /// std::string_view) does not compile.
    /// Throws: python_error, also for an argument or a result that cannot be converted;
    ///         std::logic_error if Python is not running.
    template <class Result = void, class... Arguments>
    Result call(std::string_view module, std::string_view function, Arguments const&... arguments) {
        static_assert(detail::keywords_come_last<Arguments...>(),
                      "call(): an argument without a keyword follows one with a keyword");
        return run(call_name{.first = module, .second = function}, [&]() -> Result {
            boost::python::object const result =
                detail::call_with(find(module, function), arguments...);
            if constexpr (!std::is_void_v<Result>) {
                try {
                    return detail::from_python<Result>(result);
                } catch (boost::python::error_already_set const&) {
                    detail::name_result(result.ptr(), [&] {
                        return std::string(module) + "." + std::string(function) + "()";
                    });
                    throw;
                }
            }
        });
    }

    /// Calls `work` with the GIL held: C++ code that uses Boost.Python or the C API. If a
    /// function of the C API fails, throw boost::python::error_already_set.
    /// Returns: what `work` returns; a C++ value, because the GIL is no longer held.
    /// Throws:  python_error for a Python error; what `work` throws; std::logic_error if Python
    ///          is not running.
    template <class Work>
    std::invoke_result_t<Work> invoke(Work&& work) {
        static_assert(!detail::holds_python_object<std::invoke_result_t<Work>>,
                      "a Python object must not leave invoke(): nobody holds the GIL then; "
                      "convert it, or wrap it in handoff::gil_owned");
        return run(call_name{.kind = "invoke"}, std::forward<Work>(work));
    }

private:
    struct life;

    /// The name of a call in messages: run_file("first"), or first.second().
    struct call_name {
        std::string_view kind = {};
        std::string_view first = {};
        std::string_view second = {};
    };

    /// Counts a call for as long as it lives, so that stop() waits for it.
    class call_in_progress {
    public:
        call_in_progress(interpreter const& called, call_name const& name);
        ~call_in_progress();
        call_in_progress(call_in_progress const&) = delete;
        call_in_progress& operator=(call_in_progress const&) = delete;

    private:
        friend struct life;

        std::shared_ptr<life> const called_;  // which may outlive the interpreter
        // Guarded by its mutex.
        call_name name_;
        std::thread::native_handle_type thread_;
        call_in_progress* previous_ = nullptr;
        call_in_progress* next_ = nullptr;
    };

    template <class Work>
    std::invoke_result_t<Work> run(call_name const& name, Work&& work) {
        call_in_progress const passage(*this, name);
        gil_acquire while_python_runs;
        try {
            return std::forward<Work>(work)();
        } catch (boost::python::error_already_set const&) {
            throw python_error::fetch();
        }
    }

    static boost::python::object find(std::string_view module, std::string_view function);

    detail::linked_python linked_;
    std::shared_ptr<life> life_;
};

}  // namespace handoff
