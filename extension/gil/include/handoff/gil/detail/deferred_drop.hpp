// deferred_drop: what the next thread that holds the GIL will drop.
#pragma once

#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/python_life.hpp>
#include <handoff/gil/python.hpp>

#include <atomic>
#include <memory>

namespace handoff::detail {

/// The base of an object on the heap that owns Python references. It contains the link of the list,
/// so deferring the drop allocates no memory.
class deferred_drop {
public:
    deferred_drop(deferred_drop const&) = delete;
    deferred_drop& operator=(deferred_drop const&) = delete;
    virtual ~deferred_drop() = default;

    /// Whether the Python that its objects belong to has not ended completely.
    [[nodiscard]] bool is_of_this_life() const noexcept { return life_ == python_life(); }

protected:
    /// GIL: held. Throws: std::bad_alloc.
    deferred_drop() : life_(watched_python_life()) {}

private:
    friend class deferred_drops;

    unsigned long life_;
    deferred_drop* next_ = nullptr;
};

/// Any thread adds, with any lock held; the thread that holds the GIL takes all.
class deferred_drops {
public:
    /// GIL: any; unchanged, and not waited for.
    [[gnu::visibility("default")]] void add(std::unique_ptr<deferred_drop> owner) noexcept;

    /// Destroys what was added, in the order of adding, unless the calling thread is in a
    /// subinterpreter. Objects of an earlier life of Python are left alone.
    /// GIL: held; finalizers run. An error that is set stays set.
    [[gnu::visibility("default")]] void drop() noexcept;

    /// It may miss what is added at this moment, for which a pending call has been asked.
    void drop_if_any() noexcept {
        if (in_order_.load(std::memory_order_relaxed) != nullptr ||
            first_.load(std::memory_order_relaxed) != nullptr) [[unlikely]] {
            drop();
        }
    }

    /// For the child of a fork(), for which the pending call may not have been requested.
    void ask_again() noexcept { asked_in_life_.store(0, std::memory_order_relaxed); }

private:
    void push(std::atomic<deferred_drop*>& list, deferred_drop* added) noexcept;
    void ask_once() noexcept;
    void ask_for_a_pending_call() noexcept;
    void take_up() noexcept;
    [[nodiscard]] deferred_drop* take_next() noexcept;

    std::atomic<deferred_drop*> first_ = nullptr;  // the one that was added last
    [[no_unique_address]] gil_exclusion exclusion_;
    std::atomic<deferred_drop*> in_order_ = nullptr;  // changed with the exclusion
    std::atomic<deferred_drop*> left_alone_ = nullptr;
    std::atomic<unsigned long> asked_in_life_ = 0;
};

/// Default visibility: a host and the modules that it loads share one.
[[gnu::visibility("default")]] inline constinit deferred_drops drops;

}  // namespace handoff::detail
