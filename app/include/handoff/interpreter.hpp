// interpreter: Python as a part of an application.
#pragma once

#ifndef HANDOFF_INTERPRETER
#error "Link the target handoff::interpreter: target_link_libraries(... handoff::interpreter)"
#endif

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

/// Asks run_file() for global names of the script's own.
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
/// The members that run Python take the GIL for as long as it runs, and leave it as it was. What
/// the script raises arrives as python_error. Scripts share the module `__main__`.
///
/// GIL:     any on entry, the same on return, where a member does not say otherwise.
/// Threads: any may run Python; start() and stop() belong to one thread, which is Python's main
///          thread.
class interpreter {
public:
    struct options {
        /// sys.argv; the first is the program's name. It decides nothing else.
        std::vector<std::string> arguments = {""};
        /// Folders to find modules in, before Python's own. Python adds neither the current folder
        /// nor a script's by itself.
        std::vector<std::filesystem::path> module_folders = {};
        /// Reads neither PYTHON* variables nor the user's site-packages, as `python3 -I`.
        bool isolated = false;
        /// Python handles SIGINT and ignores SIGPIPE, as `python3`. Otherwise they stay yours.
        bool signal_handlers = false;
        /// A thread that waits longer for the GIL gets a report on stderr: handoff/gilwatch.hpp.
        /// Unless isolated, HANDOFF_WATCHDOG says so too.
        std::optional<std::chrono::duration<double>> watchdog = {};
        /// sys.executable: what multiprocessing and subprocesses of scripts start. Empty: the
        /// Python that Handoff was built for, or, where that is not installed, the one of this
        /// version on PATH; it does not know the modules that are added here. The application
        /// itself is right only if it runs a Python command line then: handoff/host.hpp.
        std::filesystem::path python_executable = {};
        /// The folder of a virtual environment, as `python3 -m venv` makes it, whose packages
        /// scripts import. Its python is sys.executable. Empty: no environment is used, not even
        /// an activated one.
        std::filesystem::path virtual_environment = {};
        /// How long stop() waits for the calls that are in progress on other threads.
        std::chrono::duration<double> stop_grace = std::chrono::seconds(10);
        /// Called with what Python writes to sys.stdout and sys.stderr, each write at once, as
        /// UTF-8 (what is not text for it appears as \\udcff). Empty: the process's own streams.
        ///
        /// GIL:     released, so it may take any lock and wait for other threads.
        /// Threads: whichever writes; several may at once.
        /// Throws:  an exception is raised in Python, where it was written.
        /// Life:    until stop() has returned; where stop() throws that Python was not finalized,
        ///          until the process ends.
        std::function<void(std::string_view)> output = {};
        std::function<void(std::string_view)> errors = {};
    };

    /// The last argument is not yours to give.
    explicit interpreter(detail::linked_python linked = HANDOFF_PYTHON_OF_THIS_PROGRAM);
    explicit interpreter(options chosen,
                         detail::linked_python linked = HANDOFF_PYTHON_OF_THIS_PROGRAM);

    /// Stops, as stop() does, if it is running. What stop() would throw is lost; what it says on
    /// stderr is not.
    ~interpreter();

    interpreter(interpreter const&) = delete;
    interpreter& operator=(interpreter const&) = delete;

    /// As host::add_module.
    interpreter& add_module(std::string_view name, PyObject* (*init)());

    /// Starts Python. Says on stderr what host::run() says of a Python that was updated. On return
    /// the calling thread is Python's main thread, and the GIL is free. Throws: std::logic_error
    /// when Python has started before in this process;
    ///         std::runtime_error when it cannot start. Where an option or HANDOFF_WATCHDOG is the
    ///         reason, Python has not begun to start: another interpreter may.
    void start();

    /// Refuses further calls, waits for those in progress on other threads, stops every Foo, runs
    /// Python's own shutdown (threads joined, atexit) and ends it. Idempotent.
    ///
    /// A call that does not return within `stop_grace`, or, with `signal_handlers`, until Ctrl-C,
    /// is named on stderr. Then nothing of the above is done: Python goes on, with that call, until
    /// the process ends, which it does without the destructors of static objects and what atexit()
    /// knows, since the call may use them; stdio is flushed.
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

    /// The same with global names of its own, which nobody else sees: those of `__main__` are
    /// neither read nor changed. `__name__` is "__main__" for it, too.
    void run_file(std::filesystem::path const& script, fresh_namespace_t);

    /// Runs statements in `__main__`. `name` stands for the file in tracebacks.
    /// Throws: python_error; std::logic_error when Python is not running.
    void run_string(std::string_view statements, std::string_view name = "<string>");

    /// Calls module.function(arguments...) and converts its result.
    ///
    ///     python.call("geometry", "Shape.register", "square", handoff::keyword("sides") = 4);
    ///
    /// `function` may have dots: "datetime.now" of the module datetime. Arguments are what
    /// Boost.Python converts, and where it does not: any text as str, std::filesystem::path as
    /// pathlib.Path, std::vector as list, std::optional as its value or None, nullptr as None.
    /// Results likewise; a vector of any iterable, a path of any path-like object. A Result that
    /// would refer to the Python object (T&, T*, char const*, std::string_view) does not compile.
    /// Throws: python_error, also for an argument or a result that cannot be converted;
    ///         std::logic_error when Python is not running.
    template <class Result = void, class... Arguments>
    Result call(std::string_view module, std::string_view function, Arguments const&... arguments) {
        static_assert(detail::keywords_come_last<Arguments...>(),
                      "call(): an argument without a keyword follows one with a keyword");
        return run(call_name{.first = module, .second = function}, [&]() -> Result {
            boost::python::object const result =
                detail::call_with(find(module, function), arguments...);
            if constexpr (!std::is_void_v<Result>) {
                return detail::from_python<Result>(result);
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
        static_assert(!detail::holds_python_object<std::invoke_result_t<Work>>,
                      "a Python object must not leave invoke(): nobody holds the GIL then; "
                      "convert it, or wrap it in handoff::gil_owned");
        return run(call_name{.kind = "invoke"}, std::forward<Work>(work));
    }

private:
    struct life;

    /// What a message calls a call: run_file("first"), or first.second().
    struct call_name {
        std::string_view kind = {};
        std::string_view first = {};
        std::string_view second = {};
    };

    /// Counts a call in for as long as it lives, so that stop() waits for it.
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
