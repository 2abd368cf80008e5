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
/// them). Whatever thread destroys it, the references are dropped under the GIL, and nobody waits:
///
///     the thread that destroys it                  the references are dropped
///     holds the GIL                                at once
///     holds the GIL, and a handoff::mutex          later
///     does not hold the GIL                        later
///     comes when Python has ended                  never: their objects have gone with Python
///
/// Later is at the next of these: a guard of ours takes the GIL (gil_acquire, gil_try_acquire, the
/// end of gil_release), on any thread; Python's main thread executes Python code, where a pending
/// call does it, up to Python 3.12 once it has let go of the GIL; the gate has closed. To have it
/// at once: gil_acquire, then reset().
///
/// Move-only: to copy a reference is to touch Python; gil_shared is copied. Moving touches no
/// Python object and needs no GIL.
///
/// GIL:      held to construct from a T, to copy out of get(), and to use it. Any for moving,
///           reset() and the destructor.
/// Threads:  any, one at a time; one that is ending, too.
/// Throws:   std::bad_alloc from the constructor; otherwise nothing.
/// REQUIRES: where the gate was never opened: no thread destroys it while the interpreter
///           finalizes. The references are the main interpreter's, and who destroys it with the
///           GIL held is in no subinterpreter with a GIL of its own.
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

    /// The value. To use it the GIL is held. REQUIRES: not empty.
    [[nodiscard]] T& get() const noexcept { return kept_->value; }

    /// Whether the Python of its references is still there: false where it has ended, be it that
    /// another has begun since. REQUIRES: not empty.
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
