// interpreter: start, calls in progress, and the ordered stop.
#include "startup.hpp"
#include <handoff/interpreter.hpp>
#include <handoff/watchdog.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/import.hpp>
#include <boost/python/str.hpp>

#include <mutex>
#include <stdexcept>
#include <thread>

namespace handoff {

namespace py = boost::python;

/// What start() makes and stop() takes apart.
struct interpreter::life {
    explicit life(options given) : chosen(std::move(given)) {}

    options chosen;
    PyThreadState* main_thread = nullptr;  // its state, while Python runs
    std::thread::id started_by;

    mutable handoff::mutex mutex;
    condition_variable call_ended;
    std::size_t calls_in_progress = 0;
    bool open = false;  // calls may come in
};

namespace {

/// How many calls of this thread's are in progress, one within another.
thread_local unsigned calls_of_this_thread = 0;

py::object text(std::string_view utf8) {
    return py::object(py::handle<>(
        PyUnicode_FromStringAndSize(utf8.data(), static_cast<Py_ssize_t>(utf8.size()))));
}

py::object bytes(std::string_view content) {
    return py::object(py::handle<>(
        PyBytes_FromStringAndSize(content.data(), static_cast<Py_ssize_t>(content.size()))));
}

/// A path as Python's str, whatever its bytes are.
py::object decoded(std::filesystem::path const& path) {
    return py::import("os").attr("fsdecode")(bytes(path.string()));
}

/// Compiles from bytes, so that a coding declaration, a BOM and a null byte mean what they mean
/// to python3, and runs in __main__.
void run_in_main(py::object const& source, py::object const& file) {
    py::object const builtins = py::import("builtins");
    py::object const code = builtins.attr("compile")(source, file, "exec", 0, true);
    py::object const names = py::import("__main__").attr("__dict__");
    builtins.attr("exec")(code, names);
}

/// As Python's own shutdown deals with an error on the way.
template <class Work>
void run_or_report(Work work) {
    try {
        work();
    } catch (py::error_already_set const&) {
        PyErr_WriteUnraisable(nullptr);
    }
}

void check(PyStatus const& status) {
    if (PyStatus_Exception(status) != 0) {
        throw std::runtime_error(startup::message_of(status));
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

interpreter::interpreter() : interpreter(options{}) {}

interpreter::interpreter(options chosen) : life_(std::make_unique<life>(std::move(chosen))) {}

interpreter::~interpreter() {
    try {
        stop();
    } catch (std::exception const&) {  // NOLINT(bugprone-empty-catch): as the header says
    }
}

interpreter& interpreter::add_module(std::string_view name, PyObject* (*init)()) {
    startup::add_module(name, init);
    return *this;
}

void interpreter::start() {
    startup::claim();
    options const& chosen = life_->chosen;

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
    detail::expect_the_gate_to_be_opened();  // below, and a native thread may ask before
    check(Py_InitializeFromConfig(config.get()));
    try {
        // Here, as whoever imports it first is the main thread to it, for good.
        py::import("threading");
        py::object path = py::import("sys").attr("path");
        Py_ssize_t place = 0;
        for (auto const& folder : chosen.module_folders) {
            path.attr("insert")(place++, decoded(folder));
        }
        if (auto const patience = chosen.watchdog ? chosen.watchdog : watchdog::asked_for()) {
            watchdog::start(*patience);  // so that it ends last
        }
        if (!gil_gate::open()) {
            throw py::error_already_set();
        }
    } catch (std::exception const& failure) {
        Py_FinalizeEx();
        throw std::runtime_error(std::string("cannot start Python: ") + failure.what());
    } catch (py::error_already_set const&) {
        python_error const failure = python_error::fetch();
        Py_FinalizeEx();
        throw std::runtime_error(std::string("cannot start Python: ") + failure.what());
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
    {
        std::unique_lock held(life_->mutex);
        life_->open = false;
        life_->call_ended.wait(held, [this] { return life_->calls_in_progress == 0; });
    }
    detail::await_gil([this] { PyEval_RestoreThread(std::exchange(life_->main_thread, nullptr)); });
    // What Py_FinalizeEx() does first, so that it can be seen whether the rest is safe.
    run_or_report([] { py::import("threading").attr("_shutdown")(); });
    run_or_report([] { py::import("atexit").attr("_run_exitfuncs")(); });
    if (!gil_gate::close()) {  // one of them, unless somebody has cleared them
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
    if (Py_FinalizeEx() != 0) {
        throw std::runtime_error("Python ended, but what it had buffered could not be written");
    }
}

bool interpreter::running() const noexcept {
    std::scoped_lock const held(life_->mutex);
    return life_->open;
}

void interpreter::run_file(std::filesystem::path const& script) {
    invoke([&] {
        py::object const path = decoded(script);
        py::object const source = py::import("pathlib").attr("Path")(path).attr("read_bytes")();
        py::import("__main__").attr("__file__") = path;
        run_in_main(source, path);
    });
}

void interpreter::run_string(std::string_view statements, std::string_view name) {
    invoke([&] { run_in_main(bytes(statements), text(name)); });
}

py::object interpreter::find(std::string_view module, std::string_view function) {
    return py::import("importlib").attr("import_module")(text(module)).attr(text(function));
}

interpreter::call_in_progress::call_in_progress(interpreter& called) : called_(called) {
    std::scoped_lock const held(called_.life_->mutex);
    // A call within a call goes on to its end, also while stop() waits for it.
    if (!called_.life_->open && calls_of_this_thread == 0) {
        throw std::logic_error(called_.life_->started_by == std::thread::id()
                                   ? "Python is not running: start() comes first"
                                   : "Python is not running: it has been stopped");
    }
    ++called_.life_->calls_in_progress;
    ++calls_of_this_thread;
}

interpreter::call_in_progress::~call_in_progress() {
    --calls_of_this_thread;
    std::scoped_lock const held(called_.life_->mutex);
    --called_.life_->calls_in_progress;
    called_.life_->call_ended.notify_all();
}

}  // namespace handoff
