// gil_shared<T>: a gil_owned<T> that can be copied without touching Python.
#pragma once

#include <handoff/gil/owned.hpp>

#include <memory>
#include <utility>

namespace handoff {

/// Owns a T made of Python references, shared by all its copies. The last copy drops the
/// references, as gil_owned does.
///
/// GIL:      held to construct from a T, to copy out of get(), and to use it. Any for copying,
///           moving, reset() and the destructor, which change only a count.
/// Threads:  any; one thread at a time uses one copy, as with std::shared_ptr.
/// Throws:   std::bad_alloc from the constructor; otherwise nothing.
/// REQUIRES: as gil_owned.
template <class T>
class gil_shared {
public:
    gil_shared() noexcept = default;
    // NOLINTNEXTLINE(performance-unnecessary-value-param): some T cannot be moved, but by a copy
    explicit gil_shared(T value) : owned_(std::make_shared<gil_owned<T> const>(std::move(value))) {}

    explicit operator bool() const noexcept { return owned_ != nullptr; }

    /// The value, which all copies share. Hold the GIL to use it. REQUIRES: not empty.
    [[nodiscard]] T& get() const noexcept { return owned_->get(); }

    /// See gil_owned. REQUIRES: not empty.
    [[nodiscard]] bool is_usable() const noexcept { return owned_->is_usable(); }

    /// Gives up this copy; it is empty afterwards.
    void reset() noexcept { owned_.reset(); }

private:
    std::shared_ptr<gil_owned<T> const> owned_;
};

}  // namespace handoff
