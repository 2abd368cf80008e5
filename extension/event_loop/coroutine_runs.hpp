// coroutine_runs: the coroutines that native threads have asked one loop to run.
#pragma once

#include <handoff/event_loop/detail/coroutine_run.hpp>
#include <handoff/gil/mutex.hpp>

#include <boost/python/list.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <unistd.h>
#include <vector>

namespace handoff {

class mailbox;

namespace detail {

/// GIL:     any, unchanged, unless a member says otherwise.
/// Threads: any.
class coroutine_runs {
public:
    /// Throws: std::bad_alloc.
    explicit coroutine_runs(std::shared_ptr<mailbox> to);

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    /// Throws: std::bad_alloc.
    void start(std::shared_ptr<coroutine_run> const& asked);
    void cancel(coroutine_run const& unwanted) noexcept;

    /// The requests: for each its number, and the run, or None to cancel it. GIL: held.
    [[nodiscard]] boost::python::list take();

    /// The run has ended, and is forgotten.
    void forget(coroutine_run const& ended) noexcept;

    /// The loop is closed: runs that have not ended fail, and so do later requests.
    void close() noexcept;

private:
    struct request {
        std::uint64_t of;
        std::shared_ptr<coroutine_run> start;  // null: cancel it
    };

    [[nodiscard]] bool left_behind() const noexcept { return process_ != getpid(); }
    /// The mutex is held.
    void post(request asked);

    std::shared_ptr<mailbox> const to_;
    std::uint64_t const number_;
    pid_t const process_ = getpid();
    mutex guard_;  // of all below
    std::vector<request> requests_;
    std::map<std::uint64_t, std::shared_ptr<coroutine_run>> running_;  // and requested
    std::uint64_t last_ = 0;
    bool is_closed_ = false;
};

/// Closes it when Python destroys it, with the loop's reader.
class end_of_coroutine_runs {
public:
    explicit end_of_coroutine_runs(std::shared_ptr<coroutine_runs> its) : its_(std::move(its)) {}
    ~end_of_coroutine_runs() { its_->close(); }
    end_of_coroutine_runs(end_of_coroutine_runs const&) = delete;
    end_of_coroutine_runs& operator=(end_of_coroutine_runs const&) = delete;

    [[nodiscard]] std::shared_ptr<coroutine_runs> const& its() const noexcept { return its_; }

private:
    std::shared_ptr<coroutine_runs> its_;
};

}  // namespace detail

/// Registers the classes with Python. GIL: held. Throws: boost::python::error_already_set.
void register_coroutine_runs();

}  // namespace handoff
