// gil_owned<T>: a holder of Python references that any thread may destroy.
#pragma once

#include <handoff/gil/acquire.hpp>

#include <memory>
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
/// REQUIRES: destroyed before the interpreter finalizes. After it, the references are left
///           alone: their objects are gone with the interpreter.
template <class T>
class gil_owned {
public:
    gil_owned() noexcept = default;
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
        if (Py_IsInitialized() == 0) {
            static_cast<void>(value_.release());
            return;
        }
        gil_acquire to_drop;
        value_.reset();
    }

private:
    std::unique_ptr<T> value_;
};

}  // namespace handoff
