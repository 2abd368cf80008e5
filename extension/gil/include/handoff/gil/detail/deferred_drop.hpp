// deferred_drop: what is to be dropped under the GIL by whoever holds it next.
#pragma once

#include <handoff/gil/detail/python_life.hpp>
#include <handoff/gil/python.hpp>

#include <atomic>
#include <memory>

namespace handoff::detail {

/// A part of an object on the heap that owns Python references: so to defer its drop takes no
/// memory.
class deferred_drop {
public:
    deferred_drop(deferred_drop const&) = delete;
    deferred_drop& operator=(deferred_drop const&) = delete;
    virtual ~deferred_drop() = default;

    /// Whether the Python of its objects is still there, or has not yet ended altogether.
    [[nodiscard]] bool is_of_this_life() const noexcept { return life_ == python_life(); }

protected:
    /// GIL: held. Throws: std::bad_alloc.
    deferred_drop() : life_(watched_python_life()) {}

private:
    friend class deferred_drops;

    unsigned long life_;
    deferred_drop* next_ = nullptr;
};

/// Any thread adds, with any lock held; who holds the GIL takes all.
class deferred_drops {
public:
    /// GIL: any; unchanged, and not waited for.
    [[gnu::visibility("default")]] void add(std::unique_ptr<deferred_drop> owner) noexcept;

    /// Destroys what was added, the first first, unless the calling thread is in a subinterpreter.
    /// What is of an earlier life of Python's is left alone.
    /// GIL: held; finalizers run. An error that is set stays so.
    [[gnu::visibility("default")]] void drop() noexcept;

    /// It may miss what is added at this moment, for which a pending call has been asked.
    void drop_if_any() noexcept {
        if (in_order_ != nullptr || first_.load(std::memory_order_relaxed) != nullptr)
            [[unlikely]] {
            drop();
        }
    }

    /// For the child of a fork(), in which the pending call may not have been asked for.
    void ask_again() noexcept { asked_in_life_.store(0, std::memory_order_relaxed); }

private:
    void push(std::atomic<deferred_drop*>& list, deferred_drop* added) noexcept;
    void ask_once() noexcept;
    void ask_for_a_pending_call() noexcept;
    void take_up() noexcept;

    std::atomic<deferred_drop*> first_ = nullptr;  // the last that was added
    deferred_drop* in_order_ = nullptr;            // of the holder of the GIL
    std::atomic<deferred_drop*> left_alone_ = nullptr;
    std::atomic<unsigned long> asked_in_life_ = 0;
};

/// Visible, so that a host and the modules that it loads have one.
[[gnu::visibility("default")]] inline constinit deferred_drops drops;

}  // namespace handoff::detail
