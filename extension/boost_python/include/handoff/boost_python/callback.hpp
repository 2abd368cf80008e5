// callback<R(Args...)>: a Python callable as a C++ function object, for any thread.
#pragma once

#include <handoff/boost_python/detail/in_python.hpp>
#include <handoff/boost_python/python_error.hpp>
#include <handoff/gil/owned.hpp>

#include <boost/python/object.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace handoff {

/// What a callback does if the call fails.
template <class R>
struct callback_options {
    /// Called with the exception of the callable. The caller then gets `otherwise`; if there is
    /// none, it gets the exception as well. The GIL is as the caller has it. &python_error::report
    /// passes it to sys.unraisablehook. Empty: the caller gets a python_error.
    std::function<void(python_error const&)> on_error = nullptr;
    /// Returned instead of a result after on_error was called, or if Python is not running. Empty:
    /// the caller gets the python_error, or no_python.
    std::optional<R> otherwise = std::nullopt;
};

template <>
struct callback_options<void> {
    std::function<void(python_error const&)> on_error = nullptr;
};

template <class Signature>
class callback;

/// Calls, from any thread, a callable that Python passed. An empty one acts like an empty
/// std::function.
///
///     void subscribe(boost::python::object const& f) {
///         on_price_ = handoff::callback<void(double)>(f);   // a std::function<void(double)>
///     }
///
///     a call                         does
///     while Python runs              takes the GIL if needed; converts copies of the arguments
///     the callable raises            throws python_error, which is the same exception in Python;
///                                    see callback_options
///     Python is ending, or ended     R is void: nothing. Otherwise throws no_python; see options
///     empty                          throws std::bad_function_call
///
/// Any thread may copy and move it, and may drop it without the GIL and with any lock held: see
/// gil_owned. Its own call may drop it.
///
/// GIL:      held to construct it from an object, and for object(). Any for all else; a call
///           waits for the GIL, so hold no lock for which a holder of the GIL might wait.
/// Threads:  any; as with a std::function, do not change a copy while other threads use it.
/// Throws:   from the constructor: error_already_set: TypeError for an object that cannot be
///           called; RuntimeError in a subinterpreter, or if the gate cannot be opened. The
///           constructor opens it if nobody has.
template <class R, class... Args>
class callback<R(Args...)> {
public:
    using options = callback_options<R>;

    callback() noexcept = default;
    // NOLINTNEXTLINE(misc-explicit-constructor): as std::function
    callback(std::nullptr_t) noexcept {}

    /// None makes an empty callback.
    explicit callback(boost::python::object const& callable, options chosen = {}) {
        detail::refuse_what_needs_the_gil<R, Args...>();
        if (callable.is_none()) {
            return;
        }
        if (PyCallable_Check(callable.ptr()) == 0) {
            PyErr_Format(PyExc_TypeError, "a callback must be callable, or None, not %.80R",
                         callable.ptr());
            throw boost::python::error_already_set();
        }
        bool const is_in_main = PyInterpreterState_Get() == PyInterpreterState_Main();
        if ((!gil_gate::was_opened() || !is_in_main) && !gil_gate::open()) {
            throw boost::python::error_already_set();
        }
        [[maybe_unused]] static bool const is_translated = (translate_python_errors(), true);
        kept_ = std::make_shared<kept const>(gil_owned<boost::python::object>(callable),
                                             std::move(chosen));
    }

    R operator()(Args... arguments) const {
        if (kept_ == nullptr) {
            throw std::bad_function_call();
        }
        // The call may drop *this. These are needed meanwhile and afterwards:
        auto const its = kept_->has_options() ? kept_ : nullptr;
        try {
            return detail::in_python("a callback", [&] {
                detail::python_callee const callable{.object = kept_->callable.get()};
                return detail::call_python<R>(callable, arguments...);
            });
        } catch (python_error const& error) {
            if (its == nullptr || its->chosen.on_error == nullptr) {
                throw;
            }
            its->chosen.on_error(error);
            if constexpr (!std::is_void_v<R>) {
                return its->chosen.otherwise ? *its->chosen.otherwise : throw;
            }
        } catch (no_python const&) {
            if constexpr (!std::is_void_v<R>) {
                return its != nullptr && its->chosen.otherwise ? *its->chosen.otherwise : throw;
            }
        }
    }

    explicit operator bool() const noexcept { return kept_ != nullptr; }
    friend bool operator==(callback const& one, std::nullptr_t) noexcept { return !one; }

    /// The callable; None if it is empty. GIL: held.
    [[nodiscard]] boost::python::object object() const {
        return kept_ != nullptr ? kept_->callable.get() : boost::python::object();
    }

private:
    struct kept {
        kept(gil_owned<boost::python::object> its, options its_options)
            : callable(std::move(its)), chosen(std::move(its_options)) {}

        [[nodiscard]] bool has_options() const noexcept {
            if constexpr (!std::is_void_v<R>) {
                if (chosen.otherwise) {
                    return true;
                }
            }
            return chosen.on_error != nullptr;
        }

        gil_owned<boost::python::object> callable;
        options chosen;
    };

    std::shared_ptr<kept const> kept_;
};

}  // namespace handoff
