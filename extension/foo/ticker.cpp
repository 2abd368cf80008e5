// ticker: what one delivery does under the GIL, and how a wait for it ends.
#include "ticker.hpp"

#include "python_scheduler.hpp"
#include <handoff/gil/unwinding.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/tuple.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

namespace handoff {

namespace py = boost::python;

namespace {

/// list.sort() empties the list while it compares, and what is appended then is lost.
/// Source: CPython's Include/cpython/listobject.h: "list.sort() temporarily sets allocated to -1".
bool being_sorted(PyObject* list) noexcept {
    return reinterpret_cast<PyListObject*>(list)->allocated == -1;
}

bool in_main_thread() {
    py::object const main = py::import("threading").attr("main_thread")();
    return py::extract<unsigned long>(main.attr("ident")) == PyThread_get_thread_ident();
}

}  // namespace

/// One wait() in progress. Its lock is Python's own kind, so that a signal interrupts it.
class ticker::waiter {
public:
    /// Registers itself, if there is a run to wait for. GIL: held.
    waiter(ticker& awaited, Py_ssize_t count)
        : awaited_(awaited),
          count_(count),
          forks_(awaited.forks_),
          woken_(PyThread_allocate_lock(), &PyThread_free_lock) {
        if (woken_ == nullptr) {
            PyErr_NoMemory();
            throw py::error_already_set();
        }
        PyThread_acquire_lock(woken_.get(), NOWAIT_LOCK);
        std::scoped_lock const held(awaited_.waiting_);
        registered_ = awaited_.active_;
        if (registered_) {
            awaited_.waiters_.push_back(this);
            awaited_.find_next_to_wake();
        }
    }

    ~waiter() {
        std::scoped_lock const held(awaited_.waiting_);
        std::erase(awaited_.waiters_, this);
        awaited_.find_next_to_wake();
    }

    waiter(waiter const&) = delete;
    waiter& operator=(waiter const&) = delete;

    [[nodiscard]] bool registered() const noexcept { return registered_; }
    [[nodiscard]] Py_ssize_t count() const noexcept { return count_; }
    /// Whether a signal's handler has forked, and this is the child: nobody will wake it.
    [[nodiscard]] bool left_behind() const noexcept { return forks_ != awaited_.forks_; }

    /// At most once; the caller holds the mutex, and registers it no more.
    void wake(bool reached) noexcept {
        reached_ = reached;
        PyThread_release_lock(woken_.get());
    }

    /// Returns early, with PY_LOCK_INTR, when a signal arrives. GIL: not held.
    PyLockStatus wait(std::chrono::microseconds at_most) const noexcept {
        return PyThread_acquire_lock_timed(woken_.get(), at_most.count(), 1);
    }

    /// Whether the count was reached before the wait ended.
    [[nodiscard]] bool reached() const noexcept {
        std::scoped_lock const held(awaited_.waiting_);
        return reached_;
    }

private:
    ticker& awaited_;
    Py_ssize_t count_;
    unsigned forks_;
    bool registered_ = false;
    bool reached_ = false;
    std::unique_ptr<void, decltype(&PyThread_free_lock)> woken_;
};

ticker::ticker(seconds interval, py::object on_message)
    : python_(references{.messages = {}, .on_message = std::move(on_message), .error = {}}),
      interval_(interval),
      has_callback_(!python_.get().on_message.is_none()) {}

ticker::~ticker() {
    // Their finalizers may run any code; and no forced unwind passes an object's own destructor.
    if (gil_try_acquire to_drop; to_drop) {
        detail::rather_hang([this] {
            clear();
            static_cast<py::object&>(python_.get().messages) = py::object();
        });
    }
}

int ticker::traverse(visitproc visit, void* argument) const {
    references const& its = python_.get();
    for (PyObject* const each : {its.messages.ptr(), its.on_message.ptr(), its.error.ptr()}) {
        if (int const stop = visit(each, argument); stop != 0) {
            return stop;
        }
    }
    return 0;
}

void ticker::clear() {
    for (py::object* const each : {&python_.get().on_message, &python_.get().error}) {
        PyObject* const dropped = Py_NewRef(each->ptr());
        *each = py::object();
        Py_DECREF(dropped);  // last, and in no destructor: its finalizer may run any code
    }
}

py::object ticker::error() const { return fresh_ ? py::object() : python_.get().error; }

void ticker::begun(scheduler::time_point due) noexcept {
    begin_ = due;
    due_ = due;
    ticks_ = 0;
    fresh_ = true;
    std::scoped_lock const held(waiting_);
    active_ = true;
}

std::optional<scheduler::time_point> ticker::deliver(scheduler::turn& now) noexcept {
    // Any of it may run Python code: a callback, a hook, a finalizer.
    return detail::rather_hang([&] { return deliver_due(now); });
}

std::optional<scheduler::time_point> ticker::deliver_due(scheduler::turn& now) {
    if (fresh_.exchange(false)) {
        python_.get().error = py::object();
    }
    do {
        if (being_sorted(messages().ptr())) {
            return due_;
        }
        if (!deliver_next()) {
            report_error();
            return std::nullopt;
        }
        ++ticks_;
        due_ = due_of(ticks_);
    } while (now.delivered_and_covers(due_));
    return due_;
}

scheduler::time_point ticker::due_of(std::uint64_t tick) const noexcept {
    return begin_ + std::chrono::duration_cast<scheduler::clock::duration>(
                        interval_ * static_cast<double>(tick));
}

bool ticker::behind() const noexcept { return due_of(ticks_ + 1) <= scheduler::clock::now(); }

py::object ticker::delivery_in_progress() const {
    return "on_message(%d) of Foo(interval=%r, on_message=%r)" %
           py::make_tuple(in_progress_, interval_.count(), python_.get().on_message);
}

/// A hundredth of the interval, at most 10 ms.
scheduler::clock::duration ticker::leeway() const noexcept {
    static constexpr seconds most = std::chrono::milliseconds(10);
    return std::chrono::duration_cast<scheduler::clock::duration>(std::min(interval_ / 100, most));
}

/// Appends and calls back. On false a Python error is set.
bool ticker::deliver_next() {
    PyObject* const list = messages().ptr();
    Py_ssize_t const n = PyList_GET_SIZE(list);
    py::handle<> const number(py::allow_null(PyLong_FromSsize_t(n)));
    if (!number || PyList_Append(list, number.get()) != 0) {
        return false;
    }
    bool returned = true;
    if (has_callback_) {
        in_progress_ = n;
        // By our own reference: the callback may be the last to know it, and drop its Foo.
        py::handle<> const callback(py::borrowed(python_.get().on_message.ptr()));
        returned =
            bool(py::handle<>(py::allow_null(PyObject_CallOneArg(callback.get(), number.get()))));
    }
    delivered_ = n + 1;
    wake_waiters();
    return returned;
}

/// Ends the run, keeps the error, and gives it to threading.excepthook, as threading.Thread does.
void ticker::report_error() {
    py::object const exception{py::handle<>(take_raised_exception())};
    python_.get().error = exception;
    python_scheduler().end(*this);
    try {
        py::object const threading = py::import("threading");
        py::object const arguments = threading.attr("ExceptHookArgs")(py::make_tuple(
            exception.attr("__class__"), exception, exception.attr("__traceback__"), py::object()));
        threading.attr("excepthook")(arguments);
    } catch (py::error_already_set const&) {
        PyErr_WriteUnraisable(exception.ptr());
    }
}

void ticker::ended() noexcept {
    std::scoped_lock const held(waiting_);
    active_ = false;
    for (waiter* const each : waiters_) {
        each->wake(false);
    }
    waiters_.clear();
    find_next_to_wake();
}

void ticker::left_behind() noexcept {
    std::construct_at(&waiting_);
    std::construct_at(&waiters_);
    find_next_to_wake();
    active_ = false;
    ++forks_;
}

void ticker::wake_waiters() noexcept {
    // A waiter registers with the GIL, which is held here: one that is not seen has not begun.
    if (delivered_ < next_to_wake_.load(std::memory_order_relaxed)) {
        return;
    }
    std::scoped_lock const held(waiting_);
    std::erase_if(waiters_, [this](waiter* each) {
        bool const reached = each->count() <= delivered_;
        if (reached) {
            each->wake(true);
        }
        return reached;
    });
    find_next_to_wake();
}

/// The caller holds the mutex.
void ticker::find_next_to_wake() noexcept {
    Py_ssize_t least = PY_SSIZE_T_MAX;
    for (waiter const* const each : waiters_) {
        least = std::min(least, each->count());
    }
    next_to_wake_ = least;
}

bool ticker::wait(Py_ssize_t count, std::optional<std::chrono::microseconds> timeout) {
    using clock = scheduler::clock;
    if (std::min(delivered_, py::len(messages())) >= count) {
        return true;
    }
    if (timeout && timeout->count() <= 0) {
        // Not even for a moment is the GIL released: a thread that lets go of it and takes it back
        // again and again keeps waking those who wait for it, and they never get to demand it.
        return false;
    }
    if (python_scheduler().delivering(*this)) {
        PyErr_Format(PyExc_RuntimeError,
                     "wait(%zd) within this Foo's own on_message would wait for itself", count);
        throw py::error_already_set();
    }

    // Without a timeout, a hundred years: so that no time overflows.
    clock::duration const longest = std::chrono::hours(24 * 365 * 100);
    auto const deadline =
        clock::now() + (timeout ? std::min<clock::duration>(*timeout, longest) : longest);
    waiter self(*this, count);
    if (!self.registered()) {
        return false;
    }
    auto const slice = in_main_thread() ? signal_check : longest;
    PyLockStatus status = PY_LOCK_INTR;
    while (status != PY_LOCK_ACQUIRED && !self.left_behind() && clock::now() < deadline) {
        {
            gil_release while_waiting;
            auto const left = std::clamp(deadline - clock::now(), clock::duration(0), slice);
            status = self.wait(std::chrono::ceil<std::chrono::microseconds>(left));
        }
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
    }
    return self.reached();
}

}  // namespace handoff
