// python_executor: a Boost.Asio executor whose handlers run with the GIL held.
#pragma once

#include <handoff/asio/detail/python_turns.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace handoff {

namespace detail {

/// A handler in memory from its allocator, which is returned before the handler runs.
template <class Handler, class Allocator>
class allocated_handler final : public queued_handler {
    using allocator =
        // NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
        typename std::allocator_traits<Allocator>::template rebind_alloc<allocated_handler>;
    using traits = std::allocator_traits<allocator>;

public:
    template <class Given>
    static allocated_handler* make(Given&& handler, Allocator const& from) {
        allocator memory(from);
        allocated_handler* const place = traits::allocate(memory, 1);
        try {
            return ::new (static_cast<void*>(place))
                allocated_handler(std::forward<Given>(handler), from);
        } catch (...) {
            traits::deallocate(memory, place, 1);
            throw;
        }
    }

    void run() override {
        Handler handler = taken();
        std::move(handler)();
    }

    void drop() noexcept override {
        allocator memory(from_);
        this->~allocated_handler();
        traits::deallocate(memory, this, 1);
    }

private:
    template <class Given>
    allocated_handler(Given&& handler, Allocator const& from)
        : handler_(std::forward<Given>(handler)), from_(from) {}
    ~allocated_handler() override = default;

    /// Moves the handler out, and drops the rest, also if moving it throws.
    Handler taken() {
        struct dropper {
            void operator()(allocated_handler* its) const noexcept { its->drop(); }
        };
        std::unique_ptr<allocated_handler, dropper> const then(this);
        return std::move(handler_);
    }

    Handler handler_;
    [[no_unique_address]] Allocator from_;
};

/// The turns of a python_executor, run by an Asio executor.
// NOLINTNEXTLINE(misc-multiple-inheritance): the second is the standard's
class turns_on_executor final : public python_turns,
                                public std::enable_shared_from_this<turns_on_executor> {
public:
    turns_on_executor(boost::asio::any_io_executor inner, boost::asio::execution_context& context,
                      error_function on_error)
        : python_turns(std::move(on_error)),
          inner_(std::move(inner)),
          never_blocks_(
              boost::asio::require(inner_, boost::asio::execution::blocking_t::never_t())),
          context_(context) {}

    [[nodiscard]] boost::asio::any_io_executor const& inner() const noexcept { return inner_; }
    [[nodiscard]] boost::asio::execution_context& context() const noexcept { return context_; }

protected:
    void schedule() override { never_blocks_.execute(scheduled(shared_from_this())); }

private:
    /// The inner executor runs it, or destroys it when its context ends.
    class scheduled {
    public:
        explicit scheduled(std::shared_ptr<turns_on_executor> of) noexcept : of_(std::move(of)) {}
        ~scheduled() {
            if (of_ != nullptr) {
                of_->drop_turn();
            }
        }
        scheduled(scheduled&&) noexcept = default;
        scheduled(scheduled const&) = delete;
        scheduled& operator=(scheduled const&) = delete;
        scheduled& operator=(scheduled&&) = delete;

        void operator()() {
            auto const of = std::move(of_);
            of->take_turn();
        }

    private:
        std::shared_ptr<turns_on_executor> of_;
    };

    boost::asio::any_io_executor const inner_;
    boost::asio::any_io_executor const never_blocks_;
    boost::asio::execution_context& context_;
};

}  // namespace detail

/// Runs its handlers with the GIL held, all that are ready in one hold, on the threads that run the
/// context of an inner executor.
///
///     boost::asio::io_context io;
///     handoff::python_executor const python(io);
///     boost::asio::post(python, [callback] { callback(); });
///     timer.async_wait(boost::asio::bind_executor(python, [callback](auto error) { … }));
///     io.run();                                        // on native threads, without the GIL
///
/// It can be used wherever Asio takes an executor: any_io_executor, make_strand(), bind_executor(),
/// co_spawn(), an I/O object.
///
///     the calling thread                    dispatch()    post(), defer()
///     is in a handler of this executor      runs it now   queues it
///     … that has released the GIL           queues it     queues it
///     is any other                          queues it     queues it
///
/// A hold of the GIL ends after a millisecond, so that other threads get it. A handler that takes
/// longer is not interrupted. If one thread runs the context, handlers run in the order of their
/// arrival. If several threads run it, use a strand for that, as with every executor.
///
/// Copies share one queue. Two executors made for one context have separate queues, and take turns.
///
/// Errors: a handler's exception, or the Python error that it leaves, goes to `on_error`, as a
/// python_error if Python raised it. on_error is called with the GIL held, and the next handler
/// runs. Without on_error, and for its own exceptions: sys.unraisablehook. Nothing leaves
/// io_context::run().
///
/// Python's end: when the gate is closed, handlers are destroyed without a run; counts() says how
/// many. So are those in the queue when the context is destroyed. In the child of a fork() the
/// queue is empty.
///
/// GIL:      any. The thread that runs the context must not hold it: release it before
///           io_context::run().
/// Threads:  any; one thread at a time changes one object.
/// REQUIRES: the gate is open: the host or a module has opened it, or this is made with the GIL
///           held, which opens it.
///           What a handler captures may be copied, moved and destroyed without the GIL, which Asio
///           does: gil_owned, gil_shared and callback, not boost::python::object.
///           The context outlives it, as with every executor.
template <class Allocator = std::allocator<void>>
class basic_python_executor {
    using blocking_t = boost::asio::execution::blocking_t;
    using relationship_t = boost::asio::execution::relationship_t;
    using outstanding_work_t = boost::asio::execution::outstanding_work_t;
    using mapping_t = boost::asio::execution::mapping_t;
    using context_t = boost::asio::execution::context_t;

public:
    /// Called with the GIL held.
    using error_function = std::function<void(std::exception_ptr)>;

    /// For an io_context, a thread_pool, or any other context that has get_executor().
    /// Throws: std::bad_alloc; python_error: the gate cannot be opened.
    template <std::derived_from<boost::asio::execution_context> Context>
        requires std::same_as<Allocator, std::allocator<void>>
    explicit basic_python_executor(Context& context, error_function on_error = nullptr)
        : basic_python_executor(context.get_executor(), std::move(on_error)) {}

    /// For an executor, which may be a strand.
    template <class Executor>
        requires(std::same_as<Allocator, std::allocator<void>> &&
                 !std::same_as<Executor, basic_python_executor> &&  // not to need itself
                 !std::derived_from<Executor, boost::asio::execution_context> &&
                 std::constructible_from<boost::asio::any_io_executor, Executor>)
    explicit basic_python_executor(Executor const& inner, error_function on_error = nullptr)
        : turns_(std::make_shared<detail::turns_on_executor>(
              boost::asio::any_io_executor(inner),
              boost::asio::query(
                  inner, boost::asio::execution::context_as_t<boost::asio::execution_context&>()),
              std::move(on_error))) {}

    /// What it has done, together with its copies.
    [[nodiscard]] python_executor_counts counts() const { return turns_->counts(); }

    /// Whether dispatch() would run a handler at once.
    [[nodiscard]] bool running_in_this_thread() const noexcept { return turns_->in_turn(); }

    /// The executor that runs its turns.
    [[nodiscard]] boost::asio::any_io_executor const& inner_executor() const noexcept {
        return turns_->inner();
    }

    // What Asio requires of an executor.

    /// Throws: std::bad_alloc, and what moving the function throws; then it is not queued.
    template <class Function>
    void execute(Function&& function) const {
        using handler = std::decay_t<Function>;
        if (may_block_ && turns_->in_turn()) {
            handler own(std::forward<Function>(function));
            turns_->run_here([&] { std::move(own)(); });
            return;
        }
        auto* const queued = detail::allocated_handler<handler, Allocator>::make(
            std::forward<Function>(function), allocator_);
        try {
            turns_->add(*queued);
        } catch (...) {
            queued->drop();
            throw;
        }
    }

    [[nodiscard]] boost::asio::execution_context& query(context_t /*of*/) const noexcept {
        return turns_->context();
    }
    [[nodiscard]] blocking_t query(blocking_t /*of*/) const noexcept {
        return may_block_ ? blocking_t(blocking_t::possibly_t())
                          : blocking_t(blocking_t::never_t());
    }
    [[nodiscard]] relationship_t query(relationship_t /*of*/) const noexcept {
        return continues_ ? relationship_t(relationship_t::continuation_t())
                          : relationship_t(relationship_t::fork_t());
    }
    [[nodiscard]] outstanding_work_t query(outstanding_work_t /*of*/) const noexcept {
        return tracked_ ? outstanding_work_t(outstanding_work_t::tracked_t())
                        : outstanding_work_t(outstanding_work_t::untracked_t());
    }
    [[nodiscard]] static constexpr mapping_t query(mapping_t /*of*/) noexcept {
        return mapping_t::thread_t();
    }
    template <class Any>
    [[nodiscard]] Allocator query(
        boost::asio::execution::allocator_t<Any> const& /*of*/) const noexcept {
        return allocator_;
    }

    [[nodiscard]] basic_python_executor require(blocking_t::possibly_t /*wanted*/) const noexcept {
        return with(&basic_python_executor::may_block_, true);
    }
    [[nodiscard]] basic_python_executor require(blocking_t::never_t /*wanted*/) const noexcept {
        return with(&basic_python_executor::may_block_, false);
    }
    [[nodiscard]] basic_python_executor require(relationship_t::fork_t /*wanted*/) const noexcept {
        return with(&basic_python_executor::continues_, false);
    }
    [[nodiscard]] basic_python_executor require(
        relationship_t::continuation_t /*wanted*/) const noexcept {
        return with(&basic_python_executor::continues_, true);
    }
    [[nodiscard]] basic_python_executor require(
        outstanding_work_t::tracked_t /*wanted*/) const noexcept {
        auto changed = *this;
        changed.tracked_ = boost::asio::prefer(turns_->inner(), outstanding_work_t::tracked_t());
        return changed;
    }
    [[nodiscard]] basic_python_executor require(
        outstanding_work_t::untracked_t /*wanted*/) const noexcept {
        auto changed = *this;
        changed.tracked_ = nullptr;
        return changed;
    }
    template <class Other>
    [[nodiscard]] basic_python_executor<Other> require(
        boost::asio::execution::allocator_t<Other> const& wanted) const noexcept {
        return basic_python_executor<Other>(*this, wanted.value());
    }
    [[nodiscard]] basic_python_executor<> require(
        boost::asio::execution::allocator_t<void> const& /*wanted*/) const noexcept {
        return basic_python_executor<>(*this, std::allocator<void>());
    }

    /// Whether they are copies of each other: they have one queue, and the same properties.
    friend bool operator==(basic_python_executor const& one,
                           basic_python_executor const& other) noexcept {
        return one.turns_ == other.turns_ && one.may_block_ == other.may_block_ &&
               one.continues_ == other.continues_ &&
               static_cast<bool>(one.tracked_) == static_cast<bool>(other.tracked_) &&
               one.allocator_ == other.allocator_;
    }

private:
    template <class>
    friend class basic_python_executor;

    template <class Other>
    basic_python_executor(basic_python_executor<Other> const& like, Allocator allocator) noexcept
        : turns_(like.turns_),
          tracked_(like.tracked_),
          may_block_(like.may_block_),
          continues_(like.continues_),
          allocator_(std::move(allocator)) {}

    [[nodiscard]] basic_python_executor with(bool basic_python_executor::* property,
                                             bool value) const noexcept {
        auto changed = *this;
        changed.*property = value;
        return changed;
    }

    std::shared_ptr<detail::turns_on_executor> turns_;
    boost::asio::any_io_executor tracked_;  // the inner one, while it counts as work; or empty
    bool may_block_ = true;
    bool continues_ = false;
    [[no_unique_address]] Allocator allocator_;
};

using python_executor = basic_python_executor<>;

}  // namespace handoff
