// watchdog: the thread that asks for the GIL, the thread that reports, and their ties to Python.
#include "standard_error.hpp"
#include "thread_stacks.hpp"
#include <handoff/gil.hpp>
#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/detail/stack.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/raised.hpp>
#include <handoff/watchdog.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::watchdog {

namespace {

using detail::reference;
using detail::write_stderr;

/// The Python error that is set, which is cleared, after what could not be done. GIL: held.
std::runtime_error python_failure(std::string text) {
    reference const error(take_raised_exception());
    text.append(": ").append(Py_TYPE(error.get())->tp_name);
    reference const its_text(PyObject_Str(error.get()));
    char const* const words = its_text != nullptr ? PyUnicode_AsUTF8(its_text.get()) : nullptr;
    if (words != nullptr && *words != '\0') {
        text.append(": ").append(words);
    }
    PyErr_Clear();  // of its __str__
    return std::runtime_error(text);
}

/// A new reference, or null with a Python error set. GIL: held.
reference attribute(char const* module, char const* name) {
    reference const imported(PyImport_ImportModule(module));
    return reference(imported != nullptr ? PyObject_GetAttrString(imported.get(), name) : nullptr);
}

using clock = detail::gil_wait::clock;

/// The watchdog's own thread that asks for the GIL.
constexpr auto probe_name = "handoff-probe";

/// The GIL is asked for this often, or twice within the patience.
constexpr std::chrono::seconds longest_between_probes{1};
/// How long stop() waits for a report in progress, which may hang in a full pipe.
constexpr std::chrono::seconds longest_stop{2};
/// A reporter that wakes up later than this has been stopped or starved, and so has everybody.
constexpr std::chrono::milliseconds longest_oversleep{100};

std::string in_seconds(clock::duration time) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.4g s", seconds(time).count());
    return text.data();
}

/// Has faulthandler write every Python thread's stack, in the signal's handler, which reads them
/// without the GIL. The signal is only ever raised in the thread that reports.
class python_stacks {
public:
    /// GIL: held. Throws: std::runtime_error.
    python_stacks() : number_(unused_signal()) {
        constexpr int all_threads = 1;
        reference const do_register = attribute("faulthandler", "register");
        reference const done(do_register == nullptr
                                 ? nullptr
                                 : PyObject_CallFunction(do_register.get(), "iii", number_,
                                                         STDERR_FILENO, all_threads));
        if (done == nullptr) {
            throw python_failure("the watchdog cannot have faulthandler write Python's stacks");
        }
        sigaction(number_, nullptr, &handler_);
    }

    /// GIL: held.
    ~python_stacks() {
        reference const unregister = attribute("faulthandler", "unregister");
        reference const done(unregister == nullptr
                                 ? nullptr
                                 : PyObject_CallFunction(unregister.get(), "i", number_));
        if (done == nullptr) {
            PyErr_Clear();
        }
    }

    python_stacks(python_stacks const&) = delete;
    python_stacks& operator=(python_stacks const&) = delete;

    /// GIL: not needed.
    void write() const {
        struct sigaction now{};
        sigaction(number_, nullptr, &now);
        if (now.sa_handler != handler_.sa_handler) {
            write_stderr("  (somebody else handles signal " + std::to_string(number_) + " now)\n");
            return;
        }
        pthread_kill(pthread_self(), number_);  // delivered before it returns
    }

    [[nodiscard]] int number() const noexcept { return number_; }

private:
    int number_;
    struct sigaction handler_{};
};

/// As gil_held(), which is no function for the handler of a signal; about the main interpreter's
/// GIL, where a subinterpreter may have its own.
bool holds_main_gil() noexcept {
    PyThreadState* const own = PyGILState_GetThisThreadState();
    return detail::is_current(own) &&
           (PY_VERSION_HEX < 0x030C0000 ||
            PyThreadState_GetInterpreter(own) == PyInterpreterState_Main());
}

/// What a process needs once, whatever forks.
struct signals {
    stack_signal stacks{&holds_main_gil};
    python_stacks python;
};

/// One thread's part of the report.
std::string description(thread_stack const& thread, detail::symbols& names) {
    std::string text = "thread \"";
    text.append(thread.name).append("\", tid ").append(std::to_string(thread.id));
    if (thread.id == getpid()) {
        text.append(", the main thread");
    }
    if (!thread.silent.empty()) {
        return text.append(": ").append(thread.silent).append("\n");
    }
    std::array<char, 32> handle{};
    std::snprintf(handle.data(), handle.size(), ", 0x%016lx\n",
                  static_cast<unsigned long>(thread.handle));  // as faulthandler writes it
    text.append(handle.data());
    return thread.name == probe_name ? text : text.append(stack_text(names, thread.frames));
}

/// Whether its stack says that it waits for the GIL, in code that is not ours.
bool waits_for_gil(thread_stack const& thread, detail::symbols& names) {
    static constexpr std::array<std::string_view, 6> takers = {
        "take_gil",          "PyEval_RestoreThread", "PyEval_AcquireThread",
        "PyGILState_Ensure", "PyThreadState_Ensure", "PyThreadState_EnsureFromView",
    };
    return std::ranges::any_of(thread.frames, [&](void const* frame) {
        std::string const function = names.find(static_cast<char const*>(frame) - 1).function;
        return std::ranges::find(takers, std::string_view(function).substr(
                                             0, function.find('.'))) != takers.end();
    });
}

std::string heading(clock::duration longest, clock::duration patience) {
    return "\nhandoff watchdog: a thread has waited " + in_seconds(longest) +
           " for the GIL, longer than " + in_seconds(patience) + "\n";
}

/// Who waits and who holds, with their C++ stacks.
std::string cpp_stacks(stack_signal const& asking,
                       std::vector<detail::gil_wait::note> const& waits) {
    std::map<pthread_t, clock::time_point> since;
    for (auto const& wait : waits) {
        since.emplace(wait.thread, wait.since);
    }
    detail::symbols names;
    std::string waiting;
    std::string holding;
    std::string others;
    std::string silent;
    clock::time_point const now = clock::now();
    // The newest interpreter is the first.
    bool const subinterpreter_exists = PyInterpreterState_Head() != PyInterpreterState_Main();
    for (thread_stack const& thread : asking.ask_every_thread()) {
        if (!thread.silent.empty()) {
            silent += "Not known: " + description(thread, names);
        } else if (thread.holds_gil) {
            holding += "Holds the GIL: " + description(thread, names);
        } else if (auto const wait = since.find(thread.handle); wait != since.end()) {
            waiting += "Waits for the GIL, for " + in_seconds(now - wait->second) + ": " +
                       description(thread, names);
        } else if (waits_for_gil(thread, names)) {
            waiting += "Waits for the GIL: " + description(thread, names);
        } else {
            others += (subinterpreter_exists ? "Not known to hold it: " : "Does not hold it: ") +
                      description(thread, names);
        }
    }
    if (holding.empty()) {
        // Then any of the others may be the reason.
        return waiting + others + silent +
               (subinterpreter_exists
                    ? "Who holds the GIL is not known: a thread in a subinterpreter may, which is "
                      "not recognised.\n"
                    : "No thread that answered holds the GIL at this moment.\n");
    }
    return waiting + holding + silent;
}

constexpr std::string_view advice =
    "handoff watchdog: who holds the GIL must release it before it waits or works long without "
    "Python (gil_release, without_gil, Py_BEGIN_ALLOW_THREADS). The program goes on.\n";

/// The two threads of one process's watchdog.
class watch : public std::enable_shared_from_this<watch> {
public:
    watch(clock::duration patience, std::shared_ptr<signals const> asking)
        : patience_(patience), asking_(std::move(asking)) {}

    /// Throws: std::system_error. A thread keeps the object alive. GIL: any.
    void start() {
        detail::gil_wait::watched = true;
        try {
            run("handoff-watch", &watch::report_long_waits);
            run(probe_name, &watch::probe);
        } catch (...) {
            stop();  // there is no probe, which would need the GIL
            throw;
        }
        // Its thread state is made, without the GIL, before Python may end.
        std::unique_lock held(mutex_);
        changed_.wait(held, [this] { return is_attached_ || running_ < threads_.size(); });
    }

    /// Returns whether both threads have ended; one that has not is left alone.
    /// GIL: not held, as the probe may wait for it.
    bool stop() noexcept {
        detail::gil_wait::watched = false;
        std::unique_lock held(mutex_);
        stopping_ = true;
        changed_.notify_all();
        bool const ended = changed_.wait_for(held, longest_stop, [this] { return running_ == 0; });
        held.unlock();
        for (std::thread& each : threads_) {
            ended ? each.join() : each.detach();
        }
        threads_.clear();
        return ended;
    }

    [[nodiscard]] clock::duration patience() const noexcept { return patience_; }

private:
    void run(char const* name, void (watch::*work)()) {
        // Signals of the application's are not for these threads.
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        sigdelset(&all, asking_->stacks.number());
        sigdelset(&all, asking_->python.number());
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            std::scoped_lock const held(mutex_);
            threads_.emplace_back([self = shared_from_this(), name, work] {
                try {
                    ((*self).*work)();
                } catch (std::exception const& failure) {
                    write_stderr("handoff watchdog: " + std::string(name) +
                                 " ends: " + failure.what() + "\n");
                }
                std::scoped_lock const ending(self->mutex_);
                --self->running_;
                self->changed_.notify_all();
            });
            ++running_;
            pthread_setname_np(threads_.back().native_handle(), name);
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    /// Sleeps. Returns whether to go on.
    bool sleep_until(clock::time_point time) {
        std::unique_lock held(mutex_);
        return !changed_.wait_until(held, time, [this] { return stopping_; });
    }

    /// Waits for the GIL as anybody does, through the guard that notes it.
    void probe() {
        attached_.emplace();
        {
            std::scoped_lock const held(mutex_);
            is_attached_ = true;
            changed_.notify_all();
        }
        auto const pause = std::min<clock::duration>(patience_ / 2, longest_between_probes);
        // stop() comes before Python's end, unless somebody has cleared the atexit functions.
        while (sleep_until(clock::now() + pause) && Py_IsInitialized() != 0) {
            if (gil_gate::was_opened()) {
                gil_try_acquire to_see_that_it_is_to_be_had;
            } else {
                gil_acquire where_nobody_keeps_a_gate;
            }
        }
        if (Py_IsInitialized() != 0) {
            attached_.reset();
        }
    }

    /// Never asks for the GIL.
    void report_long_waits() {
        clock::time_point not_before = clock::now();  // nobody's wait counts from earlier
        clock::time_point wake_up = not_before + patience_;
        clock::duration limit = patience_;
        while (sleep_until(wake_up)) {
            clock::time_point const now = clock::now();
            if (now - wake_up > std::max<clock::duration>(patience_ / 2, longest_oversleep)) {
                not_before = now;
            }
            auto waits = detail::gil_wait::all();
            clock::time_point oldest = now;
            for (auto& wait : waits) {
                wait.since = std::max(wait.since, not_before);
                oldest = std::min(oldest, wait.since);
            }
            clock::duration const longest = now - oldest;
            if (longest < patience_) {
                limit = patience_;
            } else if (longest >= limit) {
                limit = 2 * longest;
                write_report(waits, longest);
            }
            wake_up = std::max(clock::now() + std::chrono::milliseconds(1),
                               std::min(now + patience_, oldest + limit));
        }
    }

    void write_report(std::vector<detail::gil_wait::note> const& waits,
                      clock::duration longest) const {
        try {
            write_stderr(heading(longest, patience_) + "Python's threads:\n");
            // First, as a thread that waits is woken when it is asked for its C++ stack, and goes
            // on from the line that is wanted.
            asking_->python.write();
            write_stderr(cpp_stacks(asking_->stacks, waits));
        } catch (std::exception const& failure) {
            write_stderr(std::string("handoff watchdog: who waits and who holds could not be found "
                                     "out: ") +
                         failure.what() + "\n");
        }
        write_stderr(advice);
    }

    clock::duration patience_;
    std::shared_ptr<signals const> asking_;
    std::optional<gil_attachment> attached_;  // the probe's; left alone when Python ended first
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    bool is_attached_ = false;
    unsigned running_ = 0;
    std::vector<std::thread> threads_;
};

/// Guarded by the GIL. Never destroyed at exit: a thread may be left.
struct state {
    std::shared_ptr<signals const> asking;
    std::shared_ptr<watch> current;
};

state& the() {
    static constinit state* only = nullptr;
    if (only == nullptr) {
        only = new state;
    }
    return *only;
}

/// Throws: std::system_error.
void watch_again_in_child() {
    if (the().current == nullptr) {
        return;
    }
    // Its threads are the parent's, and so is what they have locked.
    auto const& parents = **new std::shared_ptr<watch>(std::move(the().current));
    auto again = std::make_shared<watch>(parents.patience(), the().asking);
    again->start();
    the().current = std::move(again);
}

// For os.register_at_fork() and atexit.register().
PyObject* watch_again_in_child(PyObject* /*module*/, PyObject* /*no arguments*/) {
    try {
        watch_again_in_child();
    } catch (std::exception const& failure) {
        PyErr_SetString(PyExc_RuntimeError, failure.what());
        return nullptr;
    }
    Py_RETURN_NONE;
}
PyObject* stop_at_exit(PyObject* /*module*/, PyObject* /*no arguments*/) {
    stop();
    Py_RETURN_NONE;
}

/// A function without parameters. GIL: held. Returns: null with a Python error set.
reference function(PyMethodDef& described) {
    return reference(PyCFunction_New(&described, nullptr));
}

/// os.register_at_fork(after_in_child=…), atexit.register(…). Returns: false with an error set.
bool register_functions() {
    static constinit PyMethodDef in_child = {.ml_name = "watch_again_in_child",
                                             .ml_meth = &watch_again_in_child,
                                             .ml_flags = METH_NOARGS,
                                             .ml_doc = nullptr};
    static constinit PyMethodDef at_exit = {.ml_name = "stop_watchdog",
                                            .ml_meth = &stop_at_exit,
                                            .ml_flags = METH_NOARGS,
                                            .ml_doc = nullptr};
    reference const at_fork = attribute("os", "register_at_fork");
    reference const watch_again = at_fork != nullptr ? function(in_child) : nullptr;
    reference const keywords(watch_again != nullptr
                                 ? Py_BuildValue("{s:O}", "after_in_child", watch_again.get())
                                 : nullptr);
    reference const none(keywords != nullptr ? PyTuple_New(0) : nullptr);
    reference const tied(none != nullptr ? PyObject_Call(at_fork.get(), none.get(), keywords.get())
                                         : nullptr);
    reference const do_register = tied != nullptr ? attribute("atexit", "register") : nullptr;
    reference const ends = do_register != nullptr ? function(at_exit) : nullptr;
    return ends != nullptr &&
           reference(PyObject_CallOneArg(do_register.get(), ends.get())) != nullptr;
}

/// Once in a process, and its children. Throws: std::runtime_error.
void tie_to_process() {
    static constinit bool tied = false;  // guarded by the GIL
    if (std::exchange(tied, true)) {
        return;
    }
    using detail::gil_wait;
    pthread_atfork(&gil_wait::before_fork, &gil_wait::after_fork_in_parent,
                   &gil_wait::after_fork_in_child);
    if (!register_functions()) {
        throw python_failure("the watchdog cannot be tied to the process's forks and its end");
    }
}

/// Throws: std::invalid_argument, beginning with `source`.
seconds checked(double number, std::string const& source) {
    if (!std::isfinite(number) || number <= 0) {
        throw std::invalid_argument(source + " must be a positive, finite number of seconds");
    }
    return std::min<seconds>(seconds(number), std::chrono::hours(24 * 365 * 100));
}

seconds parsed(std::string const& text, std::string const& source) {
    double number = 0;
    char const* const end = text.c_str() + text.size();
    auto const [rest, error] = std::from_chars(text.c_str(), end, number);
    return checked(error == std::errc() && rest == end ? number : 0, source);
}

}  // namespace

seconds checked(seconds patience) {
    return checked(patience.count(),
                   "the watchdog's patience, " + std::to_string(patience.count()) + ",");
}

std::optional<seconds> asked_for_by_environment() {
    static constexpr auto variable = "HANDOFF_WATCHDOG";
    char const* const set = std::getenv(variable);
    if (set == nullptr || *set == '\0') {
        return std::nullopt;
    }
    return parsed(set, std::string(variable) + "=" + set);
}

std::optional<seconds> asked_for() {
    static constexpr auto option = "handoff-watchdog";
    PyObject* const options = PySys_GetXOptions();
    reference const key(PyUnicode_FromString(option));
    PyObject* const value = options != nullptr && key != nullptr
                                ? PyDict_GetItemWithError(options, key.get())
                                : nullptr;
    if (value != nullptr) {
        // Without "=", the value is True.
        char const* const text = PyUnicode_Check(value) != 0 ? PyUnicode_AsUTF8(value) : "";
        if (text == nullptr) {
            throw python_failure("-X " + std::string(option) + " cannot be read");
        }
        return parsed(text, "-X " + std::string(option) + "=" + text);
    }
    PyObject* const flags = PySys_GetObject("flags");  // borrowed
    reference const ignores(flags != nullptr ? PyObject_GetAttrString(flags, "ignore_environment")
                                             : nullptr);
    bool const ignored = ignores != nullptr && PyObject_IsTrue(ignores.get()) == 1;
    if (PyErr_Occurred() != nullptr) {
        throw python_failure("-X options and sys.flags cannot be read");
    }
    return ignored ? std::nullopt : asked_for_by_environment();
}

void start(seconds patience) {
    auto const limit = std::chrono::duration_cast<clock::duration>(checked(patience));
    state& its = the();
    if (its.current != nullptr) {
        throw std::logic_error("the watchdog is watching already");
    }
    if (fcntl(STDERR_FILENO, F_GETFD) < 0) {
        return;  // nobody would see it
    }
    tie_to_process();
    if (its.asking == nullptr) {
        its.asking = std::make_shared<signals const>();
    }
    auto started = std::make_shared<watch>(std::max(limit, clock::duration(1)), its.asking);
    started->start();
    its.current = std::move(started);
}

void stop() {
    std::shared_ptr<watch> const ended = std::exchange(the().current, nullptr);
    if (ended == nullptr) {
        return;
    }
    bool const all_ended = [&] {
        gil_release while_stopping;
        return ended->stop();
    }();
    if (all_ended) {
        the().asking.reset();
    }
}

}  // namespace handoff::watchdog
