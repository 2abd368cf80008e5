// locked_once: in a debug build, reports a thread that locks a mutex again that it already has.
#pragma once

#include <cstddef>

#ifndef NDEBUG
#include <handoff/gil/detail/assertion.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <type_traits>
#endif

namespace handoff::detail {

#ifdef NDEBUG

/// Does nothing: it takes no room ([[no_unique_address]]) and no time.
template <std::size_t Count>
class locked_once {
public:
    explicit locked_once(auto&... /*mutexes*/) noexcept {}
};

#else

/// The mutexes that a scope of the calling thread has locked; scopes nest.
class locked_in_scope {
public:
    explicit locked_in_scope(std::span<void const* const> own) : own_(own) {
        for (locked_in_scope const* each = outer_; each != nullptr; each = each->outer_) {
            auto const is_ours = [&](void const* its) {
                return its != nullptr && std::ranges::find(own, its) != own.end();
            };
            if (std::ranges::any_of(each->own_, is_ours)) {
                rule_broken("locking a mutex that it has locked, by gil_lock",
                            "it waits for itself; a Python function that is called with a mutex "
                            "locked may call what locks it",
                            "unlock it before Python is called, or make it a std::recursive_mutex");
            }
        }
        innermost = this;
    }
    ~locked_in_scope() { innermost = outer_; }
    locked_in_scope(locked_in_scope const&) = delete;
    locked_in_scope& operator=(locked_in_scope const&) = delete;

private:
    /// Default visibility: a host and the modules that it loads share it.
    [[gnu::visibility(
        "default")]] static inline constinit thread_local locked_in_scope const* innermost =
        nullptr;

    std::span<void const* const> own_;
    locked_in_scope const* outer_ = innermost;
};

/// Its address, if it is a mutex that a thread must not lock twice.
template <class Mutex>
void const* once_only(Mutex const& mutex) noexcept {
    static constexpr bool is_known =
        std::is_same_v<Mutex, std::mutex> || std::is_same_v<Mutex, std::timed_mutex> ||
        std::is_same_v<Mutex, std::shared_mutex> || std::is_same_v<Mutex, std::shared_timed_mutex>;
    return is_known ? &mutex : nullptr;
}

template <std::size_t Count>
class locked_once {
public:
    template <class... Mutex>
    explicit locked_once(Mutex&... its) : own_{once_only(its)...}, scope_(own_) {}

private:
    std::array<void const*, Count> own_;
    locked_in_scope scope_;
};

#endif

}  // namespace handoff::detail
