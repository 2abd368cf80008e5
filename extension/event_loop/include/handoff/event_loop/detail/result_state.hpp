// result_state: a native thread sets it once, without the GIL, and Python awaits it.
#pragma once

#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/gil/mutex.hpp>

#include <boost/python/object.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::detail {

/// A result that is not ready yet, with its listeners. The thread that settles it notifies them,
/// and does nothing that could wait: it holds a mutex for moments, and touches no Python object.
///
/// GIL:     any, unchanged, unless a member says otherwise.
/// Threads: any.
class result_state {
public:
    /// Notified, with the state's mutex held, when there is a result.
    class listener {
    public:
        listener(listener const&) = delete;
        listener& operator=(listener const&) = delete;
        virtual void settled() noexcept = 0;

    protected:
        listener() = default;
        ~listener() = default;
    };

    result_state(result_state const&) = delete;
    result_state& operator=(result_state const&) = delete;
    virtual ~result_state();

    /// Throws: std::future_error: there already is a result.
    void set_exception(std::exception_ptr error);

    /// Like set_exception(), if there is no result.
    void set_exception_if_none(std::exception_ptr error) noexcept;

    [[nodiscard]] bool is_settled() const noexcept;

    [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_.get_token(); }

    /// Begins to listen; false: there already is a result. Throws: std::bad_alloc.
    [[nodiscard]] bool add(listener& added);

    /// Ends it; the listener is not notified afterwards. Idempotent.
    /// Returns: whether it was the last, and there is no result, so that the maker may stop.
    bool remove(listener& removed) noexcept;

    /// Runs the token's callbacks in this thread.
    void request_stop() noexcept { stop_.request_stop(); }

    /// The result as a Python object; rethrows an exception.
    /// GIL:    held.
    /// Throws: std::runtime_error: there is none, and in this process, a fork()'s child, there will
    ///         never be one.
    [[nodiscard]] boost::python::object get() const;

    /// Whether this is the child of a fork(), and the parent's threads may have the mutex locked.
    [[nodiscard]] bool left_behind() const noexcept { return process_ != getpid(); }

protected:
    result_state() = default;

    /// After this only the calling thread may write the value. Throws: std::future_error.
    void claim();
    /// The value could not be written.
    void give_back() noexcept { progress_ = progress::none; }
    /// The value has been written.
    void publish() noexcept;

private:
    [[nodiscard]] virtual boost::python::object value_to_python() const = 0;

    enum class progress : unsigned char { none, claimed, settled };
    [[nodiscard]] bool try_claim() noexcept;

    std::atomic<progress> progress_ = progress::none;
    std::exception_ptr error_;  // written before it is settled
    std::stop_source stop_;
    pid_t const process_ = getpid();
    mutex guard_;  // guards the listeners
    std::vector<listener*> listeners_;
};

/// The Python object with which it is awaited: an asyncio.Future, or a concurrent.futures.Future.
/// GIL: held. Throws: boost::python::error_already_set.
[[nodiscard]] boost::python::object future_of(std::shared_ptr<result_state> const& awaited);

/// Checks which types a result may have.
template <class T>
constexpr void refuse_as_result() {
    static_assert(!holds_python_object<T>,
                  "a result that Python awaits must not hold Python objects (PyObject*, "
                  "boost::python::object, handle<>): the native thread that has it does not hold "
                  "the GIL. Use a C++ type, which is converted on the thread of the event loop, or "
                  "gil_shared<…> with a converter of your own");
    static_assert(!std::is_reference_v<T> && !std::is_pointer_v<T>,
                  "a result that Python awaits must own what it refers to: it is converted later, "
                  "on another thread. Use a value, or std::shared_ptr<T>");
    static_assert(!std::is_same_v<std::remove_cv_t<T>, std::exception_ptr>,
                  "a std::exception_ptr is not a result: use set_exception()");
}

/// The state of a T, which may be void.
template <class T>
class result_of final : public result_state {
public:
    template <class Value>
    void set_value(Value&& value) {
        claim();
        try {
            value_.emplace(std::forward<Value>(value));
        } catch (...) {
            give_back();
            throw;
        }
        publish();
    }

private:
    [[nodiscard]] boost::python::object value_to_python() const override {
        // NOLINTNEXTLINE(bugprone-unchecked-optional-access): it is settled, without an exception
        return boost::python::object(*value_);
    }

    std::optional<T> value_;  // written before it is settled
};

template <>
class result_of<void> final : public result_state {
public:
    void set_value() {
        claim();
        publish();
    }

private:
    [[nodiscard]] boost::python::object value_to_python() const override { return {}; }
};

}  // namespace handoff::detail
