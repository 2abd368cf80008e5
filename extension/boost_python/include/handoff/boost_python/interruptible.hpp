// without_gil(f, interruptible): a Boost.Python function without the GIL that Ctrl-C stops.
#pragma once

#include <handoff/boost_python/detail/signature.hpp>
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/gil/interruptible_call.hpp>

#include <functional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace handoff {

/// Tells without_gil() that the function can be stopped.
struct interruptible_t {
    explicit interruptible_t() = default;
};
inline constexpr interruptible_t interruptible{};

namespace detail {

/// A function whose last parameter is a std::stop_token, which Python does not pass.
template <class F>
struct stoppable {
    F f;
};

template <class Signature, class Kept = signature<void>>
struct without_stop_token {};

template <class R, class Last, class... Kept>
    requires std::is_same_v<std::remove_cvref_t<Last>, std::stop_token>
struct without_stop_token<signature<R, Last>, signature<void, Kept...>> {
    using type = signature<R, Kept...>;
};
template <class R, class First, class... Others, class... Kept>
struct without_stop_token<signature<R, First, Others...>, signature<void, Kept...>>
    : without_stop_token<signature<R, Others...>, signature<void, Kept..., First>> {};

template <class Target, class F>
auto signature_of(stoppable<F> const& f) ->
    // Clang asks for it until 15. NOLINTNEXTLINE(readability-redundant-typename)
    typename without_stop_token<decltype(signature_of<Target>(f.f))>::type;

/// Does not release the GIL itself: interruptible_call() needs the GIL to notice signals.
template <class F>
struct released_call<stoppable<F>> {
    stoppable<F> its;

    template <class... Args>
    decltype(auto) operator()(Args&&... args) {
        return interruptible_call([&](std::stop_token const& stop) -> decltype(auto) {
            return std::invoke(its.f, std::forward<Args>(args)..., stop);
        });
    }
};

}  // namespace detail

/// Like without_gil(f), for an f whose last parameter is a std::stop_token. The closing gate
/// requests the stop. If Python's main thread called f, Ctrl-C or another signal whose handler
/// raises does so too. The handler's exception is raised when f has returned; the result or
/// exception of f is then dropped.
///
///     void solver::run(int steps, std::stop_token stop) {
///         for (int i = 0; i < steps && !stop.stop_requested(); ++i) {
///             step();
///         }
///     }
///     class_<solver>("Solver")
///         .def("run", without_gil(&solver::run, interruptible), arg("steps"));
///
/// GIL:      as without_gil().
/// Threads:  any. f runs on the calling thread, or on a separate thread if that is Python's main
///           thread. See interruptible_call().
/// REQUIRES: f returns soon after it was asked to stop; nothing else ends it.
template <class Self = void, class F>
auto without_gil(F f, interruptible_t /*how*/) {
    using stoppable = detail::stoppable<F>;
    static_assert(detail::has_signature<stoppable>,
                  "without_gil(f, interruptible): the last parameter of f must be a "
                  "std::stop_token, and those before it must have types");
    if constexpr (detail::has_signature<stoppable>) {
        return detail::released_function<Self, stoppable>(stoppable{std::move(f)});
    }
}

}  // namespace handoff
