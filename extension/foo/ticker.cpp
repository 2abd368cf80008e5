// ticker: what one delivery does under the GIL, and how a wait for it ends.
#include "ticker.hpp"

#include "python_scheduler.hpp"
#include "raise.hpp"
#include <handoff/gil.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gil/detail/unwinding.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/tuple.hpp>

#include <algorithm>
#include <atomic>
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

/// Appends the number n. On false a Python error is set.
bool append_to(PyObject* list, Py_ssize_t n) noexcept {
    PyObject* const number = PyLong_FromSsize_t(n);
    if (number == nullptr) {
        return false;
    }
    bool const appended = PyList_Append(list, number) == 0;
    Py_DECREF(number);
    return appended;
}

/// Guards every ticker's waiters. One for all: it is seldom locked, and never for long.
constinit mutex waiting;
/// How many forks lie between the process that began and this one.
constinit std::atomic<unsigned> forks = 0;

}  // namespace

ticker::waiter::waiter(ticker& awaited, Py_ssize_t count)
    : awaited_(awaited), count_(count), forks_(forks) {}

bool ticker::waiter::enrol() {
    std::scoped_lock const held(waiting);
    if (awaited_.active_) {
        awaited_.waiters_.push_front(this);
        awaited_.find_next_to_wake();
    }
    return awaited_.active_;
}

void ticker::waiter::withdraw() noexcept {
    std::scoped_lock const held(waiting);
    awaited_.waiters_.remove(this);
    awaited_.find_next_to_wake();
}

bool ticker::waiter::left_behind() const noexcept { return forks_ != forks; }

/// One wait() in progress. Its lock is Python's own kind, so that a signal interrupts it.
class ticker::blocking_wait final : public waiter {
public:
    /// GIL: held.
    blocking_wait(ticker& awaited, Py_ssize_t count)
        : waiter(awaited, count), woken_(PyThread_allocate_lock(), &PyThread_free_lock) {
        if (woken_ == nullptr) {
            PyErr_NoMemory();
            throw py::error_already_set();
        }
        PyThread_acquire_lock(woken_.get(), NOWAIT_LOCK);
        enrolled_ = enrol();
    }

    ~blocking_wait() override { withdraw(); }
    blocking_wait(blocking_wait const&) = delete;
    blocking_wait& operator=(blocking_wait const&) = delete;

    [[nodiscard]] bool enrolled() const noexcept { return enrolled_; }

    void wake(bool reached) noexcept override {
        reached_ = reached;
        PyThread_release_lock(woken_.get());
    }

    /// Whether it was woken, or nobody will do that; returns early when a signal arrives.
    /// GIL: not held.
    [[nodiscard]] bool wait_until(scheduler::time_point deadline) const noexcept {
        using std::chrono::microseconds;
        auto const at_most = std::chrono::ceil<microseconds>(deadline - scheduler::clock::now());
        return left_behind() ||
               PyThread_acquire_lock_timed(woken_.get(), std::max(at_most, microseconds(0)).count(),
                                           1) == PY_LOCK_ACQUIRED;
    }

    /// Whether the count was reached before the wait ended.
    [[nodiscard]] bool reached() const noexcept {
        std::scoped_lock const held(waiting);
        return reached_;
    }

private:
    bool enrolled_ = false;
    bool reached_ = false;
    std::unique_ptr<void, decltype(&PyThread_free_lock)> woken_;
};

ticker::posted_wait::posted_wait(boost::intrusive_ptr<ticker> awaited, Py_ssize_t count,
                                 std::shared_ptr<mailbox> to)
    : waiter(*awaited, count), awaited_(std::move(awaited)), to_(std::move(to)) {
    bool const reached = awaited_->has_delivered(count);
    if (!reached) {
        awaited_->refuse_within_delivery(count);
    }
    number_ = to_->expect();
    if (reached || !enrol()) {
        to_->post({.wait = number_, .reached = reached});
    }
}

ticker::posted_wait::~posted_wait() {
    withdraw();
    if (!left_behind()) {  // where a thread may have been in the mailbox as the process forked
        to_->forget(number_);
    }
}

void ticker::posted_wait::wake(bool reached) noexcept {
    to_->post({.wait = number_, .reached = reached});
}

ticker::ticker(seconds interval, py::object const& on_message)
    : has_callback_(!on_message.is_none()),
      interval_(interval),
      messages_(PyList_New(0)),
      on_message_(Py_NewRef(on_message.ptr())) {
    if (messages_ == nullptr) {
        Py_DECREF(on_message_);
        throw py::error_already_set();
    }
}

ticker::~ticker() {
    // Finalizers may run any code.
    if (gil_try_acquire to_drop; to_drop) {
        detail::rather_hang([this] {
            clear();
            Py_DECREF(messages_);
            Py_DECREF(on_message_);
        });
    }
}

py::list ticker::messages() const {
    return py::extract<py::list>(py::object(py::handle<>(py::borrowed(messages_))));
}

int ticker::traverse(visitproc visit, void* arg) const {
    Py_VISIT(messages_);
    Py_VISIT(on_message_);
    Py_VISIT(error_);
    return 0;
}

void ticker::clear() {
    Py_SETREF(on_message_, Py_NewRef(Py_None));
    Py_CLEAR(error_);
}

py::object ticker::error() const {
    return fresh_ || error_ == nullptr ? py::object()
                                       : py::object(py::handle<>(py::borrowed(error_)));
}

void ticker::begun() noexcept {
    ticks_ = 0;
    fresh_ = true;
    std::scoped_lock const held(waiting);
    active_ = true;
}

std::optional<scheduler::time_point> ticker::deliver(scheduler::turn& now) noexcept {
    // Any of it may run Python code: a callback, a hook, a finalizer.
    return detail::rather_hang([&] { return deliver_due(now); });
}

std::optional<scheduler::time_point> ticker::deliver_due(scheduler::turn& now) {
    if (fresh_.exchange(false)) {
        Py_CLEAR(error_);
    }
    scheduler::time_point due = due_of(ticks_);
    do {
        if (being_sorted(messages_)) {
            return due;
        }
        if (!deliver_next()) {
            report_error();
            return std::nullopt;
        }
        ++ticks_;
        due = due_of(ticks_);
    } while (now.delivered_and_covers(due));
    return due;
}

/// No Python code is run: nothing is called, and no object with a finalizer dropped.
bool ticker::deliver_at_once(scheduler::turn& now) noexcept {
    if (has_callback_ || being_sorted(messages_) || (fresh_ && error_ != nullptr)) {
        return false;
    }
    fresh_.store(false, std::memory_order_relaxed);
    unsigned count = 1;
    while (append_and_count(count)) {
        if (!now.delivered_and_covers(due_of(ticks_), count)) {
            return true;
        }
        count = due_together(now);
    }
    PyErr_Clear();
    return false;
}

/// How many may be delivered without a look at each one's due time, when one is due; at least one.
unsigned ticker::due_together(scheduler::turn const& now) const noexcept {
    auto const last = static_cast<std::uint64_t>((now.until() - begin()) / interval_);
    auto const before_last = last > ticks_ ? last - ticks_ : 1;  // the last may be rounded up
    return static_cast<unsigned>(std::min<std::uint64_t>(before_last, now.room()));
}

scheduler::time_point ticker::due_of(std::uint64_t tick) const noexcept {
    return begin() + std::chrono::duration_cast<scheduler::clock::duration>(
                         interval_ * static_cast<double>(tick));
}

bool ticker::behind() const noexcept { return due_of(ticks_ + 1) <= scheduler::clock::now(); }

py::object ticker::delivery_in_progress() const {
    return "on_message(%d) of Foo(interval=%r, on_message=%r)" %
           py::make_tuple(delivered_, interval_.count(),
                          py::object(py::handle<>(py::borrowed(on_message_))));
}

/// A hundredth of the interval, at most 10 ms.
scheduler::clock::duration ticker::leeway() const noexcept {
    static constexpr seconds most = std::chrono::milliseconds(10);
    return std::chrono::duration_cast<scheduler::clock::duration>(std::min(interval_ * 0.01, most));
}

/// Appends n = len(messages) and calls back, with delivered_ = n. On false a Python error is set.
bool ticker::deliver_next() {
    Py_ssize_t const n = PyList_GET_SIZE(messages_);
    if (!append_to(messages_, n)) {
        return false;
    }
    delivered_ = n;
    bool returned = true;
    if (has_callback_) {
        // By references of our own: the callback may drop its Foo, and clear the list.
        py::handle<> const callback(py::borrowed(on_message_));
        py::handle<> const number(py::borrowed(PyList_GET_ITEM(messages_, n)));
        returned =
            bool(py::handle<>(py::allow_null(PyObject_CallOneArg(callback.get(), number.get()))));
    }
    ++delivered_;
    wake_waiters();
    return returned;
}

/// So many, without a callback. On false there may be some of them, and a Python error is set.
bool ticker::append_and_count(unsigned count) noexcept {
    Py_ssize_t const first = PyList_GET_SIZE(messages_);
    Py_ssize_t next = first;
    while (next < first + count && append_to(messages_, next)) {
        ++next;
    }
    if (next > first) {
        delivered_ = next;
        ticks_ += static_cast<std::uint64_t>(next - first);
    }
    wake_waiters();
    return next == first + count;
}

/// Ends the run, keeps the error, and gives it to threading.excepthook, as threading.Thread does.
void ticker::report_error() {
    py::object const exception{py::handle<>(take_raised_exception())};
    Py_XSETREF(error_, Py_NewRef(exception.ptr()));
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
    std::scoped_lock const held(waiting);
    active_ = false;
    for (waiter* const each : waiters_) {
        each->wake(false);
    }
    waiters_.clear();
    find_next_to_wake();
}

void ticker::left_behind() noexcept {
    std::construct_at(&waiting);
    std::construct_at(&waiters_);
    find_next_to_wake();
    active_ = false;
    ++forks;
}

void ticker::wake_waiters() noexcept {
    // A waiter registers with the GIL, which is held here: one that is not seen has not begun.
    if (delivered_ < next_to_wake_.load(std::memory_order_relaxed)) {
        return;
    }
    std::scoped_lock const held(waiting);
    waiters_.remove_if([this](waiter* each) {
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

bool ticker::has_delivered(Py_ssize_t count) const noexcept {
    return std::min(delivered_, PyList_GET_SIZE(messages_)) >= count;
}

void ticker::refuse_within_delivery(Py_ssize_t count) const {
    if (python_scheduler().delivering(*this)) {
        raise(PyExc_RuntimeError,
              "wait(%zd) within this Foo's own on_message would wait for itself", count);
    }
}

bool ticker::wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout) {
    if (has_delivered(count)) {
        return true;
    }
    if (timeout && timeout->count() <= 0) {
        // Not even for a moment is the GIL released: a thread that lets go of it and takes it back
        // again and again keeps waking those who wait for it, and they never get to demand it.
        return false;
    }
    refuse_within_delivery(count);
    auto const deadline = detail::deadline_after(timeout);
    blocking_wait self(*this, count);
    if (!self.enrolled()) {
        return false;
    }
    auto const end =
        detail::interruptible_wait(deadline, [&](auto until) { return self.wait_until(until); });
    if (end == detail::wait_end::interrupted) {
        throw py::error_already_set();
    }
    return self.reached();
}

}  // namespace handoff
