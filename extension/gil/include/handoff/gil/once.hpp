// gil_once<T>: a static value that Python code makes once, at its first use.
#pragma once

#include <handoff/gil/detail/once.hpp>
#include <handoff/gil/detail/python_life.hpp>
#include <handoff/gil/detail/unwinding.hpp>

#include <atomic>
#include <memory>
#include <utility>

namespace handoff {

/// Replaces a function's static variable whose initialiser runs Python code. C++ guards such a
/// static with a lock. The initialiser releases the GIL, as an import does. A second thread
/// acquires the GIL and waits for the lock. The first thread waits for the GIL: a deadlock. A
/// thread that waits in gil_once does not hold the GIL.
///
///     object fraction(long numerator, long denominator) {
///         static constinit handoff::gil_once<object> type;
///         return type.get([] { return import("fractions").attr("Fraction"); })(numerator,
///         denominator);
///     }
///
///     the value                   get()
///     exists                      returns it: two loads
///     does not exist              makes it
///     is being made by another    waits, and then returns it; makes it if the other thread failed
///       thread
///     is being made by the        throws: it would wait for itself
///       caller
///     is from an earlier life     makes another: Python has ended and been started again in this
///       of Python                 process
///
/// The value is never destroyed, also not at exit, because Python has ended before. get() does not
/// wait for a thread that no longer exists: one of a fork()'s parent, or one that Python's end has
/// stopped.
///
/// GIL:      any on entry; the same on return. Held while the value is made. If the value is a
///           Python object, the caller must hold the GIL to use it.
/// Threads:  any.
/// Throws:   what make() throws; the next get() then makes the value. A Python error that make()
///           has set, as python_error, if the caller did not hold the GIL: the error would be lost
///           with it. std::logic_error: make() calls get() of the same gil_once; or in a
///           subinterpreter. no_python: the value does not exist, the caller does not hold the GIL,
///           and the gate refuses the thread: see gil_try_acquire. std::bad_alloc.
/// REQUIRES: static storage. make() must not wait for a thread that calls get(), and two make()
///           must not wait for each other.
/// Source:   pybind11's gil_safe_call_once_and_store, which releases the GIL for std::call_once.
template <class T>
class gil_once {
public:
    constexpr gil_once() noexcept = default;
    ~gil_once() = default;  // does nothing: the value is kept
    gil_once(gil_once const&) = delete;
    gil_once& operator=(gil_once const&) = delete;

    /// The value. If it does not exist, T is constructed from the result of make().
    template <class Make>
    [[nodiscard]] T& get(Make&& make) {
        if (made* const there = find()) {
            return there->value;
        }
        detail::hold_for_once const gil;
        return gil.errors_pass([&]() -> T& {
            for (;;) {
                if (made* const there = find()) {
                    return there->value;
                }
                if (detail::turn_at_once const mine(maker_); mine) {
                    if (made* const there = find()) {  // its maker ended its turn just now
                        return there->value;
                    }
                    return put(detail::rather_hang([&] { return make_it(make); }));
                }
                detail::await_maker(maker_);
            }
        });
    }

private:
    struct made {
        T value;
        unsigned long life;
        made* former;  // so that a leak checker still finds it
    };

    [[nodiscard]] made* find() const noexcept {
        made* const there = made_.load(std::memory_order_acquire);
        return there != nullptr && there->life == detail::python_life() ? there : nullptr;
    }

    template <class Make>
    [[nodiscard]] std::unique_ptr<made> make_it(Make& make) {
        return std::unique_ptr<made>(
            new made{T(make()), detail::watched_python_life(), made_.load()});
    }

    /// GIL: held. If make() has forked, another thread of the child may have been first.
    T& put(std::unique_ptr<made> fresh) noexcept {
        if (made* const there = find()) {
            return there->value;
        }
        made_.store(fresh.get(), std::memory_order_release);  // find() acquires: the value is whole
        return fresh.release()->value;
    }

    std::atomic<made*> made_ = nullptr;
    std::atomic<int> maker_ = 0;  // see turn_at_once
};

}  // namespace handoff
