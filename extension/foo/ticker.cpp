// ticker: what one delivery does under the GIL, and how a wait for it ends.
#include "ticker.hpp"

#include "blocking_wait.hpp"
#include "callback.hpp"
#include "gil_scheduler.hpp"
#include "raise.hpp"
#include <handoff/gil.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gil/detail/unwinding.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/tuple.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string_view>
#include <utility>

#ifdef Py_GIL_DISABLED
// Exported, but declared in an internal header. Takes the reference, even if it fails.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" int _PyList_AppendTakeRefListResize(PyListObject* list, PyObject* added);
#endif

namespace handoff {

namespace py = boost::python;

namespace {

/// list.sort() empties the list while it compares, and what is appended then is lost.
/// Source: CPython's Include/cpython/listobject.h: "list.sort() temporarily sets allocated to -1".
bool being_sorted(PyObject* list) noexcept {
    return reinterpret_cast<PyListObject*>(list)->allocated == -1;
}

/// A guess of a thread that does not have the list's lock, and does not wait for one that sorts.
/// list.sort() writes a plain integer, which ThreadSanitizer would report.
[[gnu::no_sanitize_thread]] bool seems_to_be_sorted(PyObject* list) noexcept {
    return __atomic_load_n(&reinterpret_cast<PyListObject*>(list)->allocated, __ATOMIC_RELAXED) ==
           -1;
}

/// Appends numbers to a list without waiting for a thread that uses it.
class list_at_once {
public:
#ifdef Py_GIL_DISABLED
    explicit list_at_once(PyObject* its)
        : list_(*reinterpret_cast<PyListObject*>(its)), is_ours_(detail::try_lock(its->ob_mutex)) {}
    ~list_at_once() {
        if (is_ours_) {
            PyMutex_Unlock(&reinterpret_cast<PyObject*>(&list_)->ob_mutex);
        }
    }

    /// Like PyList_Append(), for a caller that holds the list's lock.
    /// Source: CPython's Include/internal/pycore_list.h, _PyList_AppendTakeRef().
    bool append(PyObject* number) noexcept {
        Py_ssize_t const end = size();
        if (list_.allocated <= end) {
            return _PyList_AppendTakeRefListResize(&list_, number) == 0;
        }
        std::atomic_ref(list_.ob_item[end]).store(number, std::memory_order_release);
        Py_SET_SIZE(&list_, end + 1);
        return true;
    }

#else
    explicit list_at_once(PyObject* its) : list_(*reinterpret_cast<PyListObject*>(its)) {}
    ~list_at_once() = default;

    bool append(PyObject* number) noexcept {
        bool const appended = PyList_Append(reinterpret_cast<PyObject*>(&list_), number) == 0;
        Py_DECREF(number);
        return appended;
    }
#endif
    list_at_once(list_at_once const&) = delete;
    list_at_once& operator=(list_at_once const&) = delete;

    /// Whether it can be appended to: no other thread uses it, and it is not being sorted.
    [[nodiscard]] bool can_be_had() const noexcept {
        return is_ours_ && !being_sorted(reinterpret_cast<PyObject*>(&list_));
    }

    [[nodiscard]] Py_ssize_t size() const noexcept { return PyList_GET_SIZE(&list_); }

    /// Appends its size. On false a Python error is set.
    bool append_size() noexcept {
        PyObject* const number = PyLong_FromSsize_t(size());
        return number != nullptr && append(number);
    }

private:
    PyListObject& list_;
    bool is_ours_ = true;
};

/// How a message names it: its repr(), or its name if the repr() says nothing.
py::object described(py::object const& called) {
    if (std::string_view(Py_TYPE(called.ptr())->tp_name) != "Boost.Python.function") {
        return py::object(py::handle<>(PyObject_Repr(called.ptr())));
    }
    return "<Boost.Python function %s>" % py::make_tuple(called.attr("__name__"));
}

}  // namespace

ticker::ticker(seconds interval, py::object const& on_message)
    : task(on_message.is_none() ? deliveries::take_no_time : deliveries::may_block),
      interval_(interval),
      messages_(PyList_New(0)) {
    if (messages_ == nullptr) {
        throw py::error_already_set();
    }
    if (!on_message.is_none()) {
        try {
            callback_ = callback::make(on_message.ptr(), *this);
        } catch (py::error_already_set const&) {
            Py_DECREF(messages_);
            throw;
        }
    }
}

ticker::~ticker() {
    if (gil_try_acquire to_drop; to_drop) {
        // Finalizers may run any code.
        detail::rather_hang([this] {
            if (callback_ != nullptr) {
                callback::forget_ticker(callback_);
            }
            Py_XDECREF(error_);
            Py_DECREF(messages_);
            Py_XDECREF(callback_);
        });
    }
}

py::list ticker::messages() const {
    return py::extract<py::list>(py::object(py::handle<>(py::borrowed(messages_))));
}

int ticker::traverse(visitproc visit, void* arg) const {
    Py_VISIT(messages_);
    Py_VISIT(callback_);
    Py_VISIT(error_);
    return 0;
}

void ticker::clear() {
    gil_scheduler().cut(*this);
    Py_XDECREF(exchange_error(nullptr));
}

void ticker::renew_callback() {
    if (!has_callback()) {
        return;
    }
    auto const own = [this] {
        std::scoped_lock const alone(exclusion_);
        return py::handle<>(py::borrowed(callback_));
    };
    if (py::handle<> const former = own(); PyObject_GC_IsFinalized(former.get()) != 0) {
        PyObject* renewed = callback::make(callback::called_by(former.get()).ptr(), *this);
        {
            std::scoped_lock const alone(exclusion_);
            std::swap(callback_, renewed);
        }
        callback::forget_ticker(renewed);
        Py_DECREF(renewed);
    }
}

/// Returns: a new reference. REQUIRES: there is one.
py::object ticker::on_message() const {
    std::scoped_lock const alone(exclusion_);
    return callback::called_by(callback_);
}

/// Returns: the former one, which the caller owns.
PyObject* ticker::exchange_error(PyObject* owned) noexcept {
    std::scoped_lock const alone(exclusion_);
    return std::exchange(error_, owned);
}

py::object ticker::error() const {
    std::scoped_lock const alone(exclusion_);
    return fresh_ || error_ == nullptr ? py::object()
                                       : py::object(py::handle<>(py::borrowed(error_)));
}

void ticker::begun(scheduler::time_point now) noexcept {
    begin_ = now;
    ticks_ = 0;
    fresh_.store(true, std::memory_order_relaxed);
    waits_.begin();
}

scheduler::task::delivered ticker::deliver(scheduler::turn& now) noexcept {
    if (now.at_once()) {
        return deliver_at_once(now);
    }
    // Each step may run Python code: a callback, a hook, a finalizer.
    return detail::rather_hang([&] { return deliver_due(now); });
}

scheduler::task::delivered ticker::deliver_due(scheduler::turn& now) {
    if (fresh_) {
        PyObject* last_runs = nullptr;
        {
            std::scoped_lock const alone(exclusion_);
            fresh_ = false;
            std::swap(error_, last_runs);
        }
        Py_XDECREF(last_runs);
    }
    do {
        if (seems_to_be_sorted(messages_)) {
            return next();
        }
        if (!wanted(now)) {  // dropped meanwhile, by a finalizer
            return {.is = delivered::ended};
        }
        if (!deliver_next(now)) {
            if (PyErr_Occurred() == nullptr) {
                return next();
            }
            report_error();
            return {.is = delivered::ended};
        }
        ++ticks_;
    } while (now.delivered_and_covers(due_of(ticks_)));
    return next();
}

/// Runs no Python code: calls nothing, and drops no object with a finalizer.
scheduler::task::delivered ticker::deliver_at_once(scheduler::turn& now) noexcept {
    if (fresh_) {
        std::unique_lock const alone(exclusion_, std::try_to_lock);
        if (!alone || error_ != nullptr) {
            return {.is = delivered::not_at_once};
        }
        fresh_.store(false, std::memory_order_relaxed);
    }
    unsigned count = 1;
    while (append_and_count(count)) {
        if (!now.delivered_and_covers(due_of(ticks_), count)) {
            return next();
        }
        count = due_together(now);
    }
    PyErr_Clear();
    return {.is = delivered::not_at_once};
}

/// It is due again, with a leeway of a hundredth of the interval, at most 10 ms.
scheduler::task::delivered ticker::next() const noexcept {
    static constexpr seconds most = std::chrono::milliseconds(10);
    return {.is = delivered::due_again,
            .next_due = due_of(ticks_),
            .leeway = std::chrono::duration_cast<scheduler::clock::duration>(
                std::min(interval_ * 0.01, most))};
}

/// If one is due: how many may be delivered without checking each one's due time; at least one.
unsigned ticker::due_together(scheduler::turn const& now) const noexcept {
    auto const last = static_cast<std::uint64_t>((now.until() - begin_) / interval_);
    auto const before_last = last > ticks_ ? last - ticks_ : 1;  // the last may be rounded up
    return static_cast<unsigned>(std::min<std::uint64_t>(before_last, now.room()));
}

scheduler::time_point ticker::due_of(std::uint64_t tick) const noexcept {
    return begin_ + std::chrono::duration_cast<scheduler::clock::duration>(
                        interval_ * static_cast<double>(tick));
}

bool ticker::behind() const noexcept { return due_of(ticks_ + 1) <= scheduler::clock::now(); }

py::object ticker::delivery_in_progress() const {
    return "on_message(%d) of Foo(interval=%r, on_message=%s)" %
           py::make_tuple(delivered_.load(), interval_.count(), described(on_message()));
}

/// Appends n = len(messages) and calls back, with delivered_ = n, unless the run was cut meanwhile.
/// On false a Python error is set, or the list is being sorted.
bool ticker::deliver_next(scheduler::turn const& now) {
    Py_ssize_t n = 0;
    py::handle<> number;
    {
        detail::object_exclusion const alone(messages_);
        if (being_sorted(messages_)) {
            return false;
        }
        n = PyList_GET_SIZE(messages_);
        number = py::handle<>(py::allow_null(PyLong_FromSsize_t(n)));
        if (!number || PyList_Append(messages_, number.get()) != 0) {
            return false;
        }
    }
    delivered_.store(n, std::memory_order_relaxed);
    bool returned = true;
    if (has_callback()) {
        // With a reference of its own: the callback may drop its Foo, and clear the list.
        py::object const called = on_message();
        if (!wanted(now)) {  // asked with the reference, which the collector sees from now on
            return true;
        }
        returned =
            bool(py::handle<>(py::allow_null(PyObject_CallOneArg(called.ptr(), number.get()))));
    }
    count(n + 1);
    return returned;
}

/// So many have been delivered, callbacks included.
void ticker::count(Py_ssize_t so_many) noexcept {
    delivered_.store(so_many, detail::order_of_attached);
    waits_.reach(so_many);
}

/// Appends that many, without a callback. On false some may be there, and a Python error is set.
bool ticker::append_and_count(Py_ssize_t count) noexcept {
    Py_ssize_t appended = 0;
    Py_ssize_t size = 0;
    {
        list_at_once messages(messages_);
        if (!messages.can_be_had()) {
            return false;
        }
        while (appended < count && messages.append_size()) {
            ++appended;
        }
        size = messages.size();
    }
    if (appended > 0) {
        ticks_ += static_cast<std::uint64_t>(appended);
        this->count(size);
    }
    return appended == count;
}

/// Ends the run, keeps the error, and gives it to threading.excepthook, as threading.Thread does.
void ticker::report_error() {
    py::object const exception{py::handle<>(take_raised_exception())};
    Py_XDECREF(exchange_error(Py_NewRef(exception.ptr())));
    gil_scheduler().cut(*this);
    try {
        py::object const module = threading();
        // Looked up before the tuple exists: Python code that runs meanwhile could see it
        // incomplete.
        py::object const type = exception.attr("__class__");
        py::object const traceback = exception.attr("__traceback__");
        py::object const arguments =
            module.attr("ExceptHookArgs")(py::make_tuple(type, exception, traceback, py::object()));
        module.attr("excepthook")(arguments);
    } catch (py::error_already_set const&) {
        PyErr_WriteUnraisable(exception.ptr());
    }
}

void ticker::ended() noexcept { waits_.end(); }

void ticker::left_behind() noexcept { waits_.left_behind(); }

bool ticker::has_delivered(Py_ssize_t count) const noexcept {
    return std::min(delivered_.load(detail::order_of_attached), PyList_GET_SIZE(messages_)) >=
           count;
}

void ticker::refuse_within_delivery(Py_ssize_t count) const {
    if (gil_scheduler().delivering(*this)) {
        raise(PyExc_RuntimeError,
              "wait(%zd) within this Foo's own on_message would wait for itself", count);
    }
}

bool ticker::wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout) {
    if (has_delivered(count)) {
        return true;
    }
    if (timeout && timeout->count() <= 0) {
        // Does not release the GIL even for a moment: a thread that releases and reacquires it in a
        // loop keeps waking the threads that wait for it, and they never get to request it.
        return false;
    }
    refuse_within_delivery(count);
    auto const deadline = detail::deadline_after(timeout);
    blocking_wait self(waits_, count);
    if (!self.enrolled()) {
        return has_delivered(count);  // delivered meanwhile, before the run ended
    }
    tell_waits();
    auto const end =
        detail::interruptible_wait(deadline, [&](auto until) { return self.wait_until(until); });
    if (end == detail::wait_end::interrupted) {
        throw py::error_already_set();
    }
    return self.reached();
}

}  // namespace handoff
