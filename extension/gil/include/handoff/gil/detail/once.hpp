// The threads of gil_once: one makes the value with the GIL, the others wait without it.
#pragma once

#include <handoff/gil/detail/finalizing.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/release.hpp>
#include <handoff/gil/try_acquire.hpp>
#include <handoff/python_error.hpp>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <unistd.h>

namespace handoff::detail {

/// Holds the GIL of the main interpreter.
/// Throws: as gil_once says.
class hold_for_once {
public:
    hold_for_once() {
        if (!in_) {
            throw no_python("gil_once::get() cannot make its value");
        }
        if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
            throw std::logic_error(
                "gil_once::get() in a subinterpreter: the value, which all interpreters would "
                "share, is not made there; get() it first in the main interpreter");
        }
    }

    /// Calls work(). If it leaves a Python error set that no caller can handle, throws that error.
    template <class Work>
    decltype(auto) errors_pass(Work work) const {
        try {
            return work();
        } catch (std::exception const&) {
            throw;
        } catch (...) {  // boost::python::error_already_set is not a std::exception
            if (is_callers_ || PyErr_Occurred() == nullptr) {
                throw;
            }
            throw python_error::fetch();
        }
    }

private:
    bool is_callers_ = gil_held();
    gil_try_acquire in_;
};

/// The calling thread's turn to make the value, for as long as it lives; empty if another thread
/// makes the value.
///
/// `maker` is the process in which a thread makes the value; 0: no thread does. If it is another
/// process, that thread belonged to a fork()'s parent. While Python finalizes, the thread does not
/// get the GIL any more.
class turn_at_once {
public:
    /// GIL: held. Throws: std::logic_error if the thread is already making that value.
    explicit turn_at_once(std::atomic<int>& maker) : maker_(maker) {
        for (turn_at_once const* each = innermost; each != nullptr; each = each->outer_) {
            if (&each->maker_ == &maker) {
                throw std::logic_error(
                    "gil_once::get() within its own make(), which would wait for itself: make() "
                    "must not use the value that it makes");
            }
        }
        int before = maker;
        is_mine_ = (before == 0 || before != process_ || is_finalizing()) &&
                   maker.compare_exchange_strong(before, process_);
        if (is_mine_) {
            innermost = this;
        }
    }

    ~turn_at_once() {
        if (is_mine_) {
            innermost = outer_;
            if (maker_ == process_) {  // not another thread's turn, which began in a fork()'s child
                maker_ = 0;
                maker_.notify_all();
            }
        }
    }

    turn_at_once(turn_at_once const&) = delete;
    turn_at_once& operator=(turn_at_once const&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return is_mine_; }

private:
    /// The calling thread's. Default visibility: all copies of Handoff's code in a process share
    /// it.
    [[gnu::visibility(
        "default")]] static inline constinit thread_local turn_at_once const* innermost = nullptr;

    std::atomic<int>& maker_;
    int process_ = getpid();
    turn_at_once const* outer_ = innermost;
    bool is_mine_ = false;
};

/// Waits until the thread that makes the value has ended its turn. GIL: held; released meanwhile.
inline void await_maker(std::atomic<int> const& maker) {
    int const now = maker;
    if (now != 0) {
        gil_release while_waiting;
        maker.wait(now);
    }
}

}  // namespace handoff::detail
