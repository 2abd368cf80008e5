// gil_owned<T>: a holder of Python references that any thread may destroy.
#pragma once

#include <handoff/gil/detail/assertion.hpp>
#include <handoff/gil/detail/deferred_drop.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/mutex.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace handoff {

/// Owns a T made of Python references (boost::python::object, pybind11::object, a struct of
/// them). Any thread may destroy it. The references are dropped under the GIL, and no thread waits:
///
///     the thread that destroys it                  the references are dropped
///     holds the GIL                                at once
///     holds the GIL, and a handoff::mutex          later
///     does not hold the GIL                        later
///     runs after Python has ended                  never: their objects ended with Python
///
/// Later means at the first of these: a Handoff guard takes the GIL on any thread (gil_acquire,
/// gil_try_acquire, the end of gil_release); Python's main thread executes Python code, which runs
/// a pending call (up to Python 3.12 only after it has released the GIL once); the gate has closed.
/// To drop at once: gil_acquire, then reset().
///
/// Move-only, because copying a reference touches Python; gil_shared can be copied. Moving touches
/// no Python object and needs no GIL.
///
/// GIL:      held to construct from a T, to copy out of get(), and to use it. Any for moving,
///           reset() and the destructor.
/// Threads:  any, one at a time; also a thread that is ending.
/// Throws:   std::bad_alloc from the constructor; otherwise nothing.
/// REQUIRES: if the gate was never opened: no thread destroys it while the interpreter
///           finalizes. The references belong to the main interpreter, and a thread that destroys
///           it with the GIL held is not in a subinterpreter with a GIL of its own.
template <class T>
class gil_owned {
    static_assert(!std::is_pointer_v<T>,
                  "gil_owned<PyObject*> would drop no reference: a pointer owns none. Give it what "
                  "does: boost::python::object, pybind11::object, or a std::unique_ptr whose "
                  "deleter calls Py_DECREF");

public:
    gil_owned() noexcept = default;
    // NOLINTNEXTLINE(performance-unnecessary-value-param): some T cannot be moved, but by a copy
    explicit gil_owned(T value) {
        detail::assert_gil_held(gil_held, "making a gil_owned of references");
        kept_ = std::make_unique<kept>(std::move(value));
    }

    ~gil_owned() { reset(); }

    gil_owned(gil_owned&& other) noexcept = default;
    gil_owned& operator=(gil_owned&& other) noexcept {
        if (this != &other) {
            reset();
            kept_ = std::move(other.kept_);
        }
        return *this;
    }

    gil_owned(gil_owned const&) = delete;
    gil_owned& operator=(gil_owned const&) = delete;

    explicit operator bool() const noexcept { return kept_ != nullptr; }

    /// The value. Hold the GIL to use it. REQUIRES: not empty.
    [[nodiscard]] T& get() const noexcept { return kept_->value; }

    /// Whether the Python that its references belong to is still running: false if it has ended,
    /// even if another has been started since. REQUIRES: not empty.
    [[nodiscard]] bool is_usable() const noexcept { return kept_->is_of_this_life(); }

    /// Gives the references up, as the destructor does; empty afterwards.
    void reset() noexcept {
        if (kept_ == nullptr) {
            return;
        }
        if (gil_held() && detail::mutexes_held == 0 && kept_->is_of_this_life()) {
            detail::rather_hang([this] { kept_.reset(); });  // finalizers may run Python
        } else {
            detail::drops.add(std::move(kept_));
        }
    }

private:
    struct kept : detail::deferred_drop {
        explicit kept(T&& its) : value(std::move(its)) {}
        T value;
    };

    std::unique_ptr<kept> kept_;
};

}  // namespace handoff
