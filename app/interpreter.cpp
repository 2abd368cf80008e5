// interpreter: start, calls in progress, and the ordered stop.
#include "boost_pythons.hpp"
#include "redirection.hpp"
#include "startup.hpp"
#include "watch.hpp"
#include <handoff/boost_python/python_error.hpp>
#include <handoff/gil/detail/fork_tie.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gilwatch.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/import.hpp>
#include <boost/python/tuple.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace handoff {

namespace py = boost::python;

/// What start() makes and stop() takes apart.
struct interpreter::life {
    explicit life(options given) : chosen(std::move(given)) {}
    ~life() = default;

    life(life const&) = delete;
    life& operator=(life const&) = delete;

    /// Refuses further calls and waits for those in progress. Returns a description of those that
    /// have not ended, one after the other, which is also on stderr. GIL: not held.
    std::string await_calls();

    /// How long stop() waits; and until when, from now.
    [[nodiscard]] std::chrono::duration<double> grace() const;
    [[nodiscard]] std::chrono::steady_clock::time_point deadline() const;

    options chosen;
    PyThreadState* main_thread = nullptr;  // its state, while Python runs
    std::thread::id started_by;

    mutable handoff::mutex mutex;
    condition_variable call_ended;
    call_in_progress* calls = nullptr;  // those in progress
    bool open = false;                  // calls may come in
    // Of `output` and `errors`; Python's threads may still be in them when Python has ended.
    std::shared_ptr<redirection::calls> const outputs = std::make_shared<redirection::calls>();

private:
    static std::string describe(call_in_progress const& late, std::string const& until);

    friend detail::fork_tie<life>;
    void begin_in_child();
    detail::fork_tie<life> const tie_{*this, mutex};
};

namespace {

/// How many nested calls of this thread are in progress.
thread_local unsigned calls_of_this_thread = 0;

py::object bytes(std::string_view content) {
    return py::object(py::handle<>(
        PyBytes_FromStringAndSize(content.data(), static_cast<Py_ssize_t>(content.size()))));
}

/// A path as Python's str, whatever its bytes are.
py::object decoded(std::filesystem::path const& path) {
    return py::import("os").attr("fsdecode")(bytes(path.string()));
}

/// Compiles from bytes, so that a coding declaration, a BOM and a null byte have the same meaning
/// as in python3, and runs the code with these global names.
void run_with(py::object const& names, py::object const& source, py::object const& file) {
    py::object const builtins = py::import("builtins");
    py::object const code = builtins.attr("compile")(source, file, "exec", 0, true);
    builtins.attr("exec")(code, names);
}

py::object names_of_main() { return py::import("__main__").attr("__dict__"); }

/// In place of the OSError that is set: one sentence, as python3 has it, with the whole path.
void say_which_file_cannot_be_opened(std::filesystem::path const& script) {
    py::object const raised{py::handle<>(take_raised_exception())};
    std::error_code unknown;
    auto const whole = std::filesystem::absolute(script, unknown);
    py::object const text = detail::str("can't open file %r: [Errno %s] %s") %
                            py::make_tuple(decoded(unknown ? script : whole), raised.attr("errno"),
                                           raised.attr("strerror"));
    py::object told = raised.attr("__class__")(text);
    told.attr("errno") = py::object(raised.attr("errno"));
    PyErr_SetObject(PyExceptionInstance_Class(told.ptr()), told.ptr());
}

/// By Python, which lets go of the GIL while it reads: the script may be a pipe.
py::object read(std::filesystem::path const& script) {
    try {
        py::object const file = py::import("io").attr("FileIO")(decoded(script));
        py::object source = file.attr("readall")();
        file.attr("close")();
        return source;
    } catch (py::error_already_set const&) {
        if (PyErr_ExceptionMatches(PyExc_OSError) != 0) {
            say_which_file_cannot_be_opened(script);
        }
        throw;
    }
}

/// Does the work, and only reports its error, as Python's own shutdown does.
template <class Work>
void run_or_report(Work work) {
    try {
        work();
    } catch (py::error_already_set const&) {
        PyErr_WriteUnraisable(nullptr);
    }
}

std::runtime_error cannot_start(std::string const& reason) {
    return std::runtime_error("cannot start Python: " + reason);
}

void check(PyStatus const& status) {
    if (PyStatus_Exception(status) != 0) {
        throw std::runtime_error(startup::message_of(status));
    }
}

/// "3.11" from the line `version = 3.11.2`, or virtualenv's `version_info = 3.11.2.final.0`; empty
/// if there is none.
std::string version_in(std::filesystem::path const& settings) {
    std::ifstream file(settings);
    for (std::string line; std::getline(file, line);) {
        auto const equals = line.find('=');
        if (!line.starts_with("version") || equals == std::string::npos) {
            continue;
        }
        std::string const key = line.substr(0, line.find_last_not_of(" \t", equals - 1) + 1);
        auto const begin = line.find_first_not_of(" \t", equals + 1);
        if ((key == "version" || key == "version_info") && begin != std::string::npos) {
            auto const dot = line.find('.', begin);
            return line.substr(begin, line.find_first_not_of("0123456789", dot + 1) - begin);
        }
    }
    return {};
}

std::string this_version() {
    return std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
}

bool can_be_run(std::filesystem::path const& program) {
    std::error_code unknown;
    return std::filesystem::is_regular_file(program, unknown) && access(program.c_str(), X_OK) == 0;
}

/// The python of a virtual environment. Throws: std::runtime_error, which names the folder.
std::filesystem::path python_of(std::filesystem::path const& environment) {
    std::error_code unknown;
    std::string named = "the virtual environment \"" + environment.string() + "\" ";
    if (environment.is_relative()) {
        named += "in the folder \"" + std::filesystem::current_path(unknown).string() + "\" ";
    }
    auto const kind = std::filesystem::status(environment, unknown).type();
    if (kind == std::filesystem::file_type::not_found) {
        throw cannot_start(named + "does not exist: make one with `python" + this_version() +
                           " -m venv`, or name another folder");
    }
    if (kind != std::filesystem::file_type::directory && !unknown) {
        throw cannot_start(named + "is not a folder: name the one that `python" + this_version() +
                           " -m venv` has made");
    }
    auto const settings = environment / "pyvenv.cfg";
    if (!std::filesystem::exists(settings, unknown)) {
        if (unknown) {
            throw cannot_start(named + "cannot be read (" + unknown.message() +
                               "): run as a user who may read it, or name another folder");
        }
        throw cannot_start(named + "has no pyvenv.cfg: make one there with `python" +
                           this_version() + " -m venv`, or name another folder");
    }
    std::string const version = version_in(settings);
    bool const has_packages =
        std::filesystem::is_directory(environment / "lib" / ("python" + this_version()), unknown);
    if (version.empty() ? !has_packages : version != this_version()) {
        throw cannot_start(named + "is for Python " + (version.empty() ? "?" : version) +
                           ", and this is Python " + this_version() + ": make one with `python" +
                           this_version() + " -m venv`");
    }
    auto python = std::filesystem::absolute(environment) / "bin/python";
    if (!can_be_run(python)) {
        throw cannot_start(named + "has no bin/python that can be run: prepare it with `python" +
                           this_version() + " -m venv --upgrade`");
    }
    return python;
}

/// The future sys.executable; empty if Python should find it on PATH.
/// Throws: std::runtime_error, which names what is wrong.
std::filesystem::path executable_for(interpreter::options const& chosen) {
    if (!chosen.virtual_environment.empty()) {
        if (!chosen.python_executable.empty()) {
            throw cannot_start(
                "both python_executable and virtual_environment are given: the environment has a "
                "python of its own");
        }
        return python_of(chosen.virtual_environment);
    }
    if (!chosen.python_executable.empty()) {
        if (!can_be_run(chosen.python_executable)) {
            throw cannot_start("python_executable \"" + chosen.python_executable.string() +
                               "\" is not a program that can be run");
        }
        return std::filesystem::absolute(chosen.python_executable);
    }
    std::filesystem::path const built_for = HANDOFF_PYTHON_EXECUTABLE;
    return can_be_run(built_for) ? built_for : std::filesystem::path();
}

/// gilwatch's settings, if a watch is wanted. Throws: std::runtime_error.
std::optional<gilwatch::settings> watch_for(interpreter::options const& chosen) {
    if (chosen.watchdog) {
        auto const after = *chosen.watchdog;
        if (!std::isfinite(after.count()) || after.count() <= 0) {
            throw cannot_start("watchdog, " + std::to_string(after.count()) +
                               ", must be a positive, finite number of seconds");
        }
        return gilwatch::settings{.after = after};
    }
    try {
        return chosen.isolated ? std::nullopt : watch::asked_for_by_environment();
    } catch (std::invalid_argument const& wrong) {
        throw cannot_start(wrong.what());
    }
}

void set(PyConfig& config, wchar_t*& member, std::string const& value) {
    check(PyConfig_SetBytesString(&config, &member, value.c_str()));
}

/// While it lives, it notices Ctrl-C instead of Python, without running Python code, if Python
/// would handle it. GIL: not needed, because a call may hold it forever.
class ctrl_c {
public:
    explicit ctrl_c(bool python_handles_it) {
        pressed = false;
        if (!python_handles_it || sigaction(SIGINT, nullptr, &former_) != 0 ||
            former_.sa_handler == SIG_DFL || former_.sa_handler == SIG_IGN) {
            return;
        }
        struct sigaction ours{};
        ours.sa_handler = [](int) { pressed = true; };
        sigemptyset(&ours.sa_mask);
        replaced_ = sigaction(SIGINT, &ours, nullptr) == 0;
    }

    ~ctrl_c() {
        if (replaced_) {
            sigaction(SIGINT, &former_, nullptr);
        }
    }

    ctrl_c(ctrl_c const&) = delete;
    ctrl_c& operator=(ctrl_c const&) = delete;

    [[nodiscard]] static bool was_pressed() noexcept { return pressed; }

private:
    static inline std::atomic<bool> pressed = false;

    struct sigaction former_{};
    bool replaced_ = false;
};

/// Throws: std::runtime_error, which names it.
void refuse_null_bytes(std::vector<std::string> const& arguments) {
    for (std::size_t each = 0; each < arguments.size(); ++each) {
        if (auto const end = arguments[each].find('\0'); end != std::string::npos) {
            throw cannot_start("arguments[" + std::to_string(each) + "], \"" +
                               arguments[each].substr(0, end) + "...\", has a null byte in it");
        }
    }
}

void set_arguments(PyConfig& config, std::vector<std::string> const& arguments) {
    std::vector<char*> pointers;
    pointers.reserve(arguments.size());
    for (std::string const& each : arguments) {
        pointers.push_back(const_cast<char*>(each.c_str()));
    }
    config.parse_argv = 0;
    check(
        PyConfig_SetBytesArgv(&config, static_cast<Py_ssize_t>(pointers.size()), pointers.data()));
}

}  // namespace

interpreter::interpreter(detail::linked_python linked) : interpreter(options{}, linked) {}

interpreter::interpreter(options chosen, detail::linked_python linked)
    : linked_(linked), life_(std::make_shared<life>(std::move(chosen))) {}

interpreter::~interpreter() {
    try {
        stop();
    } catch (std::logic_error const& wrong) {
        std::fprintf(stderr, "handoff: ~interpreter() leaves Python as it is: %s\n", wrong.what());
    } catch (std::exception const&) {  // NOLINT(bugprone-empty-catch): stop() has said it on stderr
    }
}

interpreter& interpreter::add_module(std::string_view name, PyObject* (*init)()) {
    startup::add_module(name, init);
    return *this;
}

void interpreter::start() {
    options const& chosen = life_->chosen;
    // All options are checked before the process's only start is claimed.
    std::filesystem::path const executable = executable_for(chosen);
    std::optional<gilwatch::settings> const watched = watch_for(chosen);
    refuse_null_bytes(chosen.arguments);
    if (!std::isfinite(chosen.stop_grace.count()) || chosen.stop_grace.count() < 0) {
        throw cannot_start("stop_grace, " + std::to_string(chosen.stop_grace.count()) +
                           ", must be a finite number of seconds, and not negative");
    }
    startup::claim();
    linked_.say_if_another_is_installed();

    PyPreConfig preconfig;
    chosen.isolated ? PyPreConfig_InitIsolatedConfig(&preconfig)
                    : PyPreConfig_InitPythonConfig(&preconfig);
    preconfig.utf8_mode = 1;  // an application's text is UTF-8 in every locale
    preconfig.parse_argv = 0;
    check(Py_PreInitialize(&preconfig));

    startup::config config;
    if (chosen.isolated) {
        PyConfig_Clear(config.get());
        PyConfig_InitIsolatedConfig(config.get());
    }
    config->install_signal_handlers = chosen.signal_handlers ? 1 : 0;
    set_arguments(*config.get(), chosen.arguments);
    // Otherwise Python takes arguments[0] for it.
    if (executable.empty()) {
        set(*config.get(), config->program_name, "python" + this_version());
    } else {
        set(*config.get(), config->program_name, executable.string());
        set(*config.get(), config->executable, executable.string());
    }
    detail::expect_the_gate_to_be_opened();  // below, and a native thread may ask before
    check(Py_InitializeFromConfig(config.get()));
    keep_boost_pythons_apart();
    try {
        // Threading takes the thread that first imports it for the main thread, permanently.
        py::import("threading");
        py::object path = py::import("sys").attr("path");
        Py_ssize_t place = 0;
        for (auto const& folder : chosen.module_folders) {
            path.attr("insert")(place++, decoded(folder));
        }
        translate_python_errors();  // also of the two functions
        redirection::to("stdout", chosen.output, life_->outputs);
        redirection::to("stderr", chosen.errors, life_->outputs);
        if (watched) {
            gilwatch::start(*watched);
        }
        if (!gil_gate::open()) {
            throw py::error_already_set();
        }
    } catch (std::exception const& failure) {
        Py_FinalizeEx();
        throw cannot_start(failure.what());
    } catch (py::error_already_set const&) {
        python_error const failure = python_error::fetch();
        Py_FinalizeEx();
        throw cannot_start(failure.what());
    }

    life_->started_by = std::this_thread::get_id();
    life_->main_thread = PyEval_SaveThread();
    std::scoped_lock const held(life_->mutex);
    life_->open = true;
}

void interpreter::stop() {
    if (life_->main_thread == nullptr) {
        return;
    }
    if (std::this_thread::get_id() != life_->started_by) {
        throw std::logic_error("stop() belongs to the thread that called start()");
    }
    if (calls_of_this_thread > 0) {
        throw std::logic_error("stop() within a call into Python would wait for itself");
    }
    if (gil_held()) {
        throw std::logic_error(
            "stop() with the GIL held would wait for those who wait for it: "
            "release the GIL first (gil_release while_stopping;)");
    }
    if (std::string const late = life_->await_calls(); !late.empty()) {
        life_->main_thread = nullptr;
        // A call that is still in progress may use what a destructor would destroy, for example
        // Boost.Python's registry.
        on_exit([](int code, void*) { startup::end_at_once(code); }, nullptr);
        throw std::runtime_error("Python was not finalized: " + late +
                                 ": have it return before, or raise options::stop_grace");
    }
    detail::await_gil([this] { PyEval_RestoreThread(std::exchange(life_->main_thread, nullptr)); });
    // The first steps of Py_FinalizeEx(), so that it can be seen whether the rest is safe.
    run_or_report([] { py::import("threading").attr("_shutdown")(); });
    run_or_report([] { py::import("atexit").attr("_run_exitfuncs")(); });
    if (!gil_gate::close()) {  // the atexit functions did so, unless a script has cleared them
        PyErr_WriteUnraisable(nullptr);
    }
    if (std::size_t const abandoned = gil_gate::abandoned(); abandoned > 0) {
        for (char const* const stream : {"stdout", "stderr"}) {
            run_or_report([&] { py::import("sys").attr(stream).attr("flush")(); });
        }
        PyEval_SaveThread();
        throw std::runtime_error("Python was not finalized: " + std::to_string(abandoned) +
                                 " native thread(s) are still in it, as was said on stderr");
    }
    int const failed = Py_FinalizeEx();
    gilwatch::stop();
    if (!life_->outputs->await_end(life_->deadline())) {
        char const* const said =
            "Python has ended, and a thread of Python's is still in the application's function "
            "for its output: what that function uses must stay until the process ends";
        std::fprintf(stderr, "handoff: at stop(), %s\n", said);
        throw std::runtime_error(said);
    }
    if (failed != 0) {
        throw std::runtime_error("Python ended, but what it had buffered could not be written");
    }
}

bool interpreter::running() const noexcept {
    std::scoped_lock const held(life_->mutex);
    return life_->open;
}

void interpreter::run_file(std::filesystem::path const& script) {
    run(call_name{.kind = "run_file", .first = script.native()}, [&] {
        py::object const path = decoded(script);
        py::object const source = read(script);
        py::object names = names_of_main();
        py::object const before = names.attr("get")("__file__");
        names["__file__"] = path;
        try {
            run_with(names, source, path);
        } catch (py::error_already_set const&) {
            // The processes that multiprocessing spawns would run it again, and fail as it did.
            py::object const raised{py::handle<>(take_raised_exception())};
            if (before.is_none()) {
                names.attr("pop")("__file__", py::object());
            } else {
                names["__file__"] = before;
            }
            PyErr_SetObject(PyExceptionInstance_Class(raised.ptr()), raised.ptr());
            throw;
        }
    });
}

void interpreter::run_file(std::filesystem::path const& script, fresh_namespace_t /*asked for*/) {
    run(call_name{.kind = "run_file", .first = script.native()}, [&] {
        py::object const path = decoded(script);
        py::object const source = read(script);
        py::dict names;
        names["__name__"] = "__main__";
        names["__file__"] = path;
        names["__builtins__"] = py::import("builtins");
        run_with(names, source, path);
    });
}

void interpreter::run_string(std::string_view statements, std::string_view name) {
    run(call_name{.kind = "run_string", .first = name},
        [&] { run_with(names_of_main(), bytes(statements), detail::str(name)); });
}

py::object interpreter::find(std::string_view module, std::string_view function) {
    py::object found = py::import("importlib").attr("import_module")(detail::str(module));
    for (;;) {
        auto const dot = function.find('.');
        found = found.attr(detail::str(function.substr(0, dot)));
        if (dot == std::string_view::npos) {
            return found;
        }
        function.remove_prefix(dot + 1);
    }
}

/// The child has the calling thread alone, and its calls.
void interpreter::life::begin_in_child() {
    call_in_progress* kept = nullptr;
    for (call_in_progress* each = std::exchange(calls, nullptr); each != nullptr;) {
        call_in_progress* const next = each->next_;
        if (pthread_equal(each->thread_, pthread_self()) != 0) {
            each->previous_ = nullptr;
            each->next_ = kept;
            if (kept != nullptr) {
                kept->previous_ = each;
            }
            kept = each;
        }
        each = next;
    }
    calls = kept;
    std::construct_at(&call_ended);  // it may have had waiting threads
    outputs->forget_other_threads();
}

std::chrono::duration<double> interpreter::life::grace() const {
    return std::min<std::chrono::duration<double>>(
        chosen.stop_grace, std::chrono::hours(24 * 365 * 100));  // so that no time overflows
}

std::chrono::steady_clock::time_point interpreter::life::deadline() const {
    return detail::deadline_after(std::chrono::duration_cast<std::chrono::nanoseconds>(grace()));
}

std::string interpreter::life::await_calls() {
    auto const ends = deadline();
    ctrl_c const keyboard(chosen.signal_handlers);
    std::unique_lock held(mutex);
    open = false;
    auto const all_ended = [this] { return calls == nullptr; };
    for (;;) {
        auto const now = std::chrono::steady_clock::now();
        if (call_ended.wait_until(held, std::min(ends, now + detail::signal_check), all_ended)) {
            return {};
        }
        bool const interrupted = ctrl_c::was_pressed();
        if (!interrupted && now < ends) {
            continue;
        }
        std::array<char, 32> seconds{};
        std::snprintf(seconds.data(), seconds.size(), "after %g s", grace().count());
        std::map<std::string, int> late;  // how many calls are the same
        for (call_in_progress const* each = calls; each != nullptr; each = each->next_) {
            ++late[describe(*each, interrupted ? "at Ctrl-C" : seconds.data())];
        }
        std::string all;
        for (auto const& [call, count] : late) {
            std::string const said =
                count == 1 ? call : call + ", in " + std::to_string(count) + " calls";
            std::fprintf(stderr,
                         "handoff: at stop(), %s; it goes on, and Python is not finalized\n",
                         said.c_str());
            all += (all.empty() ? "" : "; ") + said;
        }
        return all;
    }
}

std::string interpreter::life::describe(call_in_progress const& late, std::string const& until) {
    std::array<char, 16> thread{};
    pthread_getname_np(late.thread_, thread.data(), thread.size());
    auto const& [kind, first, second] = late.name_;
    std::string name(kind);
    if (kind.empty()) {
        name.append(first).append(".").append(second).append("()");
    } else if (first.data() == nullptr) {
        name.append("()");
    } else {
        name.append("(\"").append(first).append("\")");
    }
    return name.append(" in thread \"").append(thread.data()).append("\" was still in progress ") +
           until;
}

interpreter::call_in_progress::call_in_progress(interpreter const& called, call_name const& name)
    : called_(called.life_), name_(name), thread_(pthread_self()) {
    std::scoped_lock const held(called_->mutex);
    // A nested call is admitted even while stop() waits for the outer one.
    if (!called_->open && calls_of_this_thread == 0) {
        throw std::logic_error(called_->started_by == std::thread::id()
                                   ? "Python is not running: start() comes first"
                                   : "Python is not running: it has been stopped");
    }
    next_ = std::exchange(called_->calls, this);
    if (next_ != nullptr) {
        next_->previous_ = this;
    }
    ++calls_of_this_thread;
}

interpreter::call_in_progress::~call_in_progress() {
    --calls_of_this_thread;
    std::scoped_lock const held(called_->mutex);
    (previous_ != nullptr ? previous_->next_ : called_->calls) = next_;
    if (next_ != nullptr) {
        next_->previous_ = previous_;
    }
    called_->call_ended.notify_all();
}

namespace detail {

py::object str(std::string_view utf8) {
    return py::object(py::handle<>(
        PyUnicode_FromStringAndSize(utf8.data(), static_cast<Py_ssize_t>(utf8.size()))));
}

py::object pathlib_path(std::filesystem::path const& path) {
    return py::import("pathlib").attr("Path")(decoded(path));
}

std::filesystem::path path_of(py::object const& path_like) {
    PyObject* encoded = nullptr;
    if (PyUnicode_FSConverter(path_like.ptr(), static_cast<void*>(&encoded)) == 0) {
        throw py::error_already_set();
    }
    py::object const bytes{py::handle<>(encoded)};
    return std::string(PyBytes_AS_STRING(encoded),
                       static_cast<std::size_t>(PyBytes_GET_SIZE(encoded)));
}

py::object call_with_values(py::object const& callable, std::vector<py::object> const& values,
                            std::vector<std::string_view> const& names) {
    std::vector<PyObject*> arguments;
    arguments.reserve(values.size());
    for (py::object const& each : values) {
        arguments.push_back(each.ptr());
    }
    py::list keywords;
    for (std::string_view const each : names) {
        if (std::count(names.begin(), names.end(), each) > 1) {
            std::string const message = "keyword argument repeated: " + std::string(each);
            PyErr_SetString(PyExc_TypeError, message.c_str());
            throw py::error_already_set();
        }
        keywords.append(str(each));
    }
    py::tuple const fixed(keywords);
    return py::object(py::handle<>(PyObject_Vectorcall(callable.ptr(), arguments.data(),
                                                       values.size() - names.size(), fixed.ptr())));
}

}  // namespace detail

}  // namespace handoff
