// blocking_wait: until woken, or a deadline, or a signal.
#include "blocking_wait.hpp"

#include <boost/python/errors.hpp>

#include <algorithm>

namespace handoff {

blocking_wait::blocking_wait(waits& among, Py_ssize_t count)
    : waiter(count), woken_(PyThread_allocate_lock(), &PyThread_free_lock) {
    if (woken_ == nullptr) {
        PyErr_NoMemory();
        throw boost::python::error_already_set();
    }
    PyThread_acquire_lock(woken_.get(), NOWAIT_LOCK);
    enrolled_ = enrol(among);
}

blocking_wait::~blocking_wait() { withdraw(); }

void blocking_wait::wake(bool reached) noexcept {
    reached_ = reached;
    PyThread_release_lock(woken_.get());
}

bool blocking_wait::wait_until(std::chrono::steady_clock::time_point deadline) const noexcept {
    using std::chrono::microseconds;
    auto const at_most =
        std::chrono::ceil<microseconds>(deadline - std::chrono::steady_clock::now());
    return left_behind() ||
           PyThread_acquire_lock_timed(woken_.get(), std::max(at_most, microseconds(0)).count(),
                                       1) == PY_LOCK_ACQUIRED;
}

bool blocking_wait::reached() noexcept {
    withdraw();  // the thread that woke it has then released the mutex
    return reached_;
}

}  // namespace handoff
