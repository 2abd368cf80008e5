// coroutine_run: a coroutine of Python's that a native thread has asked for, and what comes of it.
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

    /// The task has ended: takes its result, or its exception, and then calls what waits, with the
    /// GIL released.
    void end(boost::python::object const& task);

    /// It could not be started, for this exception of Python's.
    void fail_with(boost::python::object const& error);

    /// It will not end. What waits is called elsewhere.
    void fail_elsewhere(std::exception_ptr error) noexcept;

    /// Has `next` called when it has ended. Returns: false: it has.
    [[nodiscard]] bool when_ended(std::function<void()> next);

    /// What the loop's queue calls it.
    std::uint64_t number = 0;

protected:
    coroutine_run() = default;

    virtual void succeed(boost::python::object const& result) = 0;
    virtual void fail(std::exception_ptr error) noexcept = 0;

private:
    [[nodiscard]] std::function<void()> take_next() noexcept;
    void call_next();

    mutex guard_;  // of these
    bool has_ended_ = false;
    std::function<void()> next_;
};

/// That gives a std::future.
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
    /// Once. Who made the run keeps the exception, not the run: its traceback may lead back here,
    /// in a circle that Python's garbage collector does not see.
    void fail(std::exception_ptr error) noexcept override {
        auto settled = std::move(promise);
        settled.set_exception(std::move(error));
    }
};

/// That begins by `make`, which gives what the loop runs.
template <class T, class Make>
class coroutine_run_by final : public coroutine_run_of<T> {
public:
    explicit coroutine_run_by(Make make) : make_(std::move(make)) {}
    [[nodiscard]] boost::python::object coroutine() override { return make_(); }

private:
    Make make_;
};

/// What native threads ask of one loop.
class coroutine_runs;

/// The queue of a loop, which may run in any thread, or not yet.
/// GIL: held. Throws: boost::python::error_already_set: TypeError for what is no loop;
///      RuntimeError: it is closed.
[[nodiscard]] std::shared_ptr<coroutine_runs> runs_of(boost::python::object const& loop);

/// GIL: held. Throws: boost::python::error_already_set: RuntimeError: no loop runs in this thread.
[[nodiscard]] boost::python::object running_loop();

/// Asks for it. Where the loop is closed it fails.
/// GIL: any. Throws: std::bad_alloc.
void start(coroutine_runs& in, std::shared_ptr<coroutine_run> const& asked);

/// Asks for the task to be cancelled. GIL: any.
void cancel(coroutine_runs& in, coroutine_run const& unwanted) noexcept;

}  // namespace handoff::detail
