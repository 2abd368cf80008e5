// coroutine_run: a Python coroutine that a native thread has requested, and its result.
#pragma once

#include <handoff/boost_python/detail/in_python.hpp>
#include <handoff/gil/mutex.hpp>
#include <handoff/python_error.hpp>

#include <boost/python/object.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

namespace handoff::detail {

/// GIL:     held, for coroutine(), end() and fail_with(). Any for all else.
/// Threads: any.
class coroutine_run {
public:
    coroutine_run(coroutine_run const&) = delete;
    coroutine_run& operator=(coroutine_run const&) = delete;
    virtual ~coroutine_run() = default;

    /// What the loop runs. Throws: boost::python::error_already_set.
    [[nodiscard]] virtual boost::python::object coroutine() = 0;

    // The first of these three settles the run; what comes later changes nothing. A task may end
    // after its loop was found to be closed, for example in an atexit function.

    /// The task has ended: takes its result or exception, and then calls what waits, with the GIL
    /// released.
    void end(boost::python::object const& task);

    /// It could not be started, because of this Python exception.
    void fail_with(boost::python::object const& error);

    /// It will not end. What waits is called on another thread.
    void fail_elsewhere(std::exception_ptr error) noexcept;

    /// Calls `next` when it has ended. Returns: false: it has already ended.
    [[nodiscard]] bool when_ended(std::function<void()> next);

    /// Its number in the loop's queue.
    std::uint64_t number = 0;

protected:
    coroutine_run() = default;

    // Only one of these settles it, once: succeed(), or fail(), also after succeed() has thrown.
    virtual void succeed(boost::python::object const& result) = 0;
    virtual void fail(std::exception_ptr error) noexcept = 0;

private:
    /// Whether the caller is to settle it.
    [[nodiscard]] bool claim() noexcept;
    [[nodiscard]] std::function<void()> take_next() noexcept;
    void call_next();

    mutex guard_;  // of these
    bool is_claimed_ = false;
    bool has_ended_ = false;  // it is settled
    std::function<void()> next_;
};

/// A run that sets a std::future.
template <class T>
class coroutine_run_of : public coroutine_run {
public:
    std::promise<T> promise;

protected:
    void succeed(boost::python::object const& result) override {
        if constexpr (std::is_void_v<T>) {
            promise.set_value();
        } else {
            promise.set_value(result_from_python<T>(Py_NewRef(result.ptr())));
        }
    }
    /// The maker of the run keeps the exception, not the run. Its traceback may refer
    /// back to the run, in a cycle that Python's garbage collector does not see.
    void fail(std::exception_ptr error) noexcept override {
        auto settled = std::move(promise);
        settled.set_exception(std::move(error));
    }
};

/// A run that begins with `make`, which returns what the loop runs.
template <class T, class Make>
class coroutine_run_by final : public coroutine_run_of<T> {
public:
    explicit coroutine_run_by(Make make) : make_(std::move(make)) {}
    [[nodiscard]] boost::python::object coroutine() override { return make_(); }

private:
    Make make_;
};

/// The requests of native threads to one loop.
class coroutine_runs;

/// The queue of a loop, which may run in any thread, or not yet.
/// GIL: held. Throws: boost::python::error_already_set: TypeError for an object that is not a loop;
///      RuntimeError: it is closed.
[[nodiscard]] std::shared_ptr<coroutine_runs> runs_of(boost::python::object const& loop);

/// GIL: held. Throws: boost::python::error_already_set: RuntimeError: no loop runs in this thread.
[[nodiscard]] boost::python::object running_loop();

/// Requests the run. If the loop is closed, it fails.
/// GIL: any. Throws: std::bad_alloc.
void start(coroutine_runs& in, std::shared_ptr<coroutine_run> const& asked);

/// Requests that the task is cancelled. GIL: any.
void cancel(coroutine_runs& in, coroutine_run const& unwanted) noexcept;

}  // namespace handoff::detail
