// gil_owned<T>: a holder of Python references that any thread may destroy.
#pragma once

#include <handoff/gil/acquire.hpp>
#include <handoff/gil/try_acquire.hpp>

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace handoff {

/// Owns a T made of Python references (boost::python::object, pybind11::object, a struct of
/// them) and destroys it under the GIL, on whatever thread the owner goes away.
///
/// Move-only: to copy a reference is to touch Python, so the copy is made by hand, under a
/// guard. Moving touches no Python object and needs no GIL.
///
/// GIL:      held to construct from a T, to copy out of get(), and to use it. Any for moving,
///           reset() and the destructor, which acquire it when there is something to drop.
/// Threads:  any, one at a time.
/// REQUIRES: where the gate was never opened: destroyed before the interpreter finalizes. Where
///           Python has ended, or the gate does not let the thread in any more, or there is no
///           memory for a thread state, the references are left alone: their objects go, or are
///           gone, with the interpreter. Their interpreter is the main one, and the thread that
///           destroys them is in no subinterpreter with a GIL of its own.
template <class T>
class gil_owned {
    static_assert(!std::is_pointer_v<T>,
                  "gil_owned<PyObject*> would drop no reference: a pointer owns none. Give it what "
                  "does: boost::python::object, pybind11::object, or a std::unique_ptr whose "
                  "deleter calls Py_DECREF");

public:
    gil_owned() noexcept = default;
    // NOLINTNEXTLINE(performance-unnecessary-value-param): some T cannot be moved, but by a copy
    explicit gil_owned(T value) : value_(std::make_unique<T>(std::move(value))) {}

    ~gil_owned() { reset(); }

    gil_owned(gil_owned&& other) noexcept = default;
    gil_owned& operator=(gil_owned&& other) noexcept {
        if (this != &other) {
            reset();
            value_ = std::move(other.value_);
        }
        return *this;
    }

    gil_owned(gil_owned const&) = delete;
    gil_owned& operator=(gil_owned const&) = delete;

    explicit operator bool() const noexcept { return value_ != nullptr; }

    /// The value. REQUIRES: not empty; the GIL is held.
    [[nodiscard]] T& get() const noexcept { return *value_; }

    /// Drops the references now, under the GIL; empty afterwards.
    void reset() noexcept {
        if (value_ == nullptr) {
            return;
        }
        auto const drop = [this] { value_.reset(); };  // runs finalizers, which may run Python
        try {
            if (gil_gate::was_opened()) {
                if (gil_try_acquire to_drop; to_drop) {
                    detail::rather_hang(drop);
                }
            } else if (Py_IsInitialized() != 0) {
                gil_acquire where_nobody_keeps_a_gate;
                detail::rather_hang(drop);
            }
        } catch (std::bad_alloc const&) {  // NOLINT(bugprone-empty-catch): it has no thread state
        }
        static_cast<void>(value_.release());
    }

private:
    std::unique_ptr<T> value_;
};

}  // namespace handoff
