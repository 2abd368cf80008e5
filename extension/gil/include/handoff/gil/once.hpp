// gil_once<T>: a static that Python code makes, at its first use, once.
#pragma once

#include <handoff/gil/detail/once.hpp>
#include <handoff/gil/detail/python_life.hpp>
#include <handoff/gil/detail/unwinding.hpp>

#include <atomic>
#include <memory>
#include <utility>

namespace handoff {

/// In place of a function's static variable whose initialiser runs Python code. C++ guards such a
/// static by a lock of its own: the initialiser lets go of the GIL (an import does), a second
/// thread comes with the GIL and waits for the lock, and neither goes on. As a thread waits here,
/// it does not hold the GIL.
///
///     object fraction(long numerator, long denominator) {
///         static constinit handoff::gil_once<object> type;
///         return type.get([] { return import("fractions").attr("Fraction"); })(numerator,
///         denominator);
///     }
///
///     the value is           get()
///     there                  returns it: two loads
///     not there              makes it
///     being made elsewhere   waits, and then returns it; makes it, if the other failed
///     being made by get()'s  throws: it would wait for itself
///       own caller
///     of an earlier life     makes another: Python has ended and begun again in this process
///       of Python's
///
/// It is never destroyed: not when the program ends, as Python has ended before. A thread that no
/// longer exists is not waited for: one of a fork()'s parent, or that Python's end has stopped.
///
/// GIL:      any on entry; the same on return. Held while it is made. To use what it refers to is
///           the caller's: hold the GIL then, where the value is a Python object.
/// Threads:  any.
/// Throws:   what make() throws; the next get() makes it then. A Python error that make() has set
///           comes as python_error where the caller did not hold the GIL, with which it would go.
///           std::logic_error: make() calls get() of the same gil_once; or in a subinterpreter.
///           no_python: it is not there, the caller does not hold the GIL, and the gate does not
///           let it in: see gil_try_acquire. std::bad_alloc.
/// REQUIRES: static storage. make() waits for no thread that calls get(), nor two for each other.
/// Source:   pybind11's gil_safe_call_once_and_store, which releases the GIL for std::call_once.
template <class T>
class gil_once {
public:
    constexpr gil_once() noexcept = default;
    ~gil_once() = default;  // nothing: the value stays
    gil_once(gil_once const&) = delete;
    gil_once& operator=(gil_once const&) = delete;

    /// The value; made by make(), of which T is constructed, if it is not there.
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
        made* former;  // is not lost: a tool that looks for leaks finds it
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

    /// GIL: held. Where make() has forked, another thread of the child's may have been first.
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
