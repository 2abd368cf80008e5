// ticker: what one delivery does under the GIL, and how a wait for it ends.
#include "ticker.hpp"

#include "python_scheduler.hpp"

#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/tuple.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace handoff {

namespace py = boost::python;

namespace {

/// list.sort() empties the list while it compares, and what is appended then is lost.
/// Source: CPython's Include/cpython/listobject.h: "list.sort() temporarily sets allocated to -1".
bool being_sorted(PyObject* list) noexcept {
    return reinterpret_cast<PyListObject*>(list)->allocated == -1;
}

}  // namespace

/// One wait() in progress. Its lock is Python's own kind, so that a signal interrupts it.
class ticker::waiter {
public:
    explicit waiter(Py_ssize_t count) : count_(count), woken_(PyThread_allocate_lock()) {
        if (woken_ == nullptr) {
            PyErr_NoMemory();
            throw py::error_already_set();
        }
        PyThread_acquire_lock(woken_, NOWAIT_LOCK);
    }
    ~waiter() { PyThread_free_lock(woken_); }
    waiter(waiter const&) = delete;
    waiter& operator=(waiter const&) = delete;

    static constexpr std::chrono::microseconds for_ever{-1};

    [[nodiscard]] Py_ssize_t count() const noexcept { return count_; }

    /// At most once.
    void wake(bool reached) noexcept {
        reached_ = reached;
        PyThread_release_lock(woken_);
    }

    /// Whether it was woken because the count was reached. REQUIRES: it is registered no more.
    [[nodiscard]] bool reached() const noexcept { return reached_; }

    /// GIL: not held. Returns early when a signal arrives.
    PyLockStatus wait(std::chrono::microseconds at_most) const noexcept {
        return PyThread_acquire_lock_timed(woken_, at_most.count(), 1);
    }

private:
    Py_ssize_t count_;
    bool reached_ = false;
    PyThread_type_lock woken_;
};

ticker::ticker(seconds interval, py::object on_message)
    : python_(references{.messages = {}, .on_message = std::move(on_message), .error = {}}),
      interval_(interval),
      has_callback_(!python_.get().on_message.is_none()) {}

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
        due_ = begin_ + std::chrono::duration_cast<scheduler::clock::duration>(
                            interval_ * static_cast<double>(ticks_));
    } while (now.delivered_and_covers(due_));
    return due_;
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
    has_waiters_ = false;
}

void ticker::left_behind() noexcept {
    std::construct_at(&waiting_);
    std::construct_at(&waiters_);
    has_waiters_ = false;
    active_ = false;
}

void ticker::wake_waiters() noexcept {
    // A waiter registers with the GIL, which is held here: one that is not seen has not begun.
    if (!has_waiters_.load(std::memory_order_relaxed)) {
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
    has_waiters_ = !waiters_.empty();
}

bool ticker::wait(Py_ssize_t count, std::optional<std::chrono::microseconds> timeout) {
    using clock = scheduler::clock;
    static constexpr std::chrono::hours a_lifetime{24 * 365 *
                                                   100};  // so that times do not overflow
    auto const reached = [&] { return std::min(delivered_, py::len(messages())) >= count; };
    if (reached()) {
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

    waiter self(count);
    {
        std::scoped_lock const held(waiting_);
        if (!active_) {
            return false;
        }
        waiters_.push_back(&self);
        has_waiters_ = true;
    }
    std::optional<clock::time_point> deadline;
    if (timeout) {
        deadline = clock::now() + std::min<clock::duration>(*timeout, a_lifetime);
    }
    PyLockStatus status = PY_LOCK_INTR;
    bool interrupted = false;
    while (status == PY_LOCK_INTR && !interrupted) {
        {
            gil_release while_waiting;
            python_scheduler().about_to_wait();
            status = self.wait(deadline ? std::max(std::chrono::ceil<std::chrono::microseconds>(
                                                       *deadline - clock::now()),
                                                   std::chrono::microseconds(0))
                                        : waiter::for_ever);
        }
        interrupted = status == PY_LOCK_INTR && PyErr_CheckSignals() != 0;
    }
    {
        std::scoped_lock const held(waiting_);
        std::erase(waiters_, &self);
        has_waiters_ = !waiters_.empty();
    }
    if (interrupted) {
        throw py::error_already_set();
    }
    return self.reached();
}

}  // namespace handoff
