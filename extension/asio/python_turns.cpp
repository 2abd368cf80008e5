// python_turns: how the GIL is taken, how long a turn lasts, where errors go, the end, and fork().
#include <handoff/asio/detail/python_turns.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/label.hpp>
#include <handoff/gil/try_acquire.hpp>
#include <handoff/python_error.hpp>

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

namespace handoff::detail {

void handler_list::push(queued_handler& added) noexcept {
    added.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &added;
    last_ = &added;
}

queued_handler* handler_list::pop() noexcept {
    queued_handler* const popped = first_;
    if (popped != nullptr) {
        first_ = popped->next_;
        last_ = first_ != nullptr ? last_ : nullptr;
    }
    return popped;
}

void handler_list::take_all_of(handler_list& other) noexcept {
    if (other.empty()) {
        return;
    }
    (last_ != nullptr ? last_->next_ : first_) = other.first_;
    last_ = other.last_;
    other = handler_list();
}

bool handler_list::remove(queued_handler const& removed) noexcept {
    queued_handler* before = nullptr;
    for (auto* each = first_; each != nullptr; before = std::exchange(each, each->next_)) {
        if (each == &removed) {
            (before != nullptr ? before->next_ : first_) = each->next_;
            last_ = last_ == each ? before : last_;
            return true;
        }
    }
    return false;
}

namespace {

/// Adds one; without an atomic addition if only one thread at a time can do so. GIL: held.
void count_one(std::atomic<std::size_t>& counted) noexcept {
    if constexpr (attached_threads_exclude_each_other) {
        counted.store(counted.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
        counted.fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace

/// A turn of the calling thread, and the turns around it.
struct python_turns::turn {
    explicit turn(python_turns const& its_queue) noexcept
        : of(its_queue), outer(std::exchange(innermost, this)) {}
    ~turn() { innermost = outer; }
    turn(turn const&) = delete;
    turn& operator=(turn const&) = delete;

    python_turns const& of;
    turn const* const outer;

    static constinit thread_local turn const* innermost;
};

constinit thread_local python_turns::turn const* python_turns::turn::innermost = nullptr;

void python_turns::begin_in_child() {
    of_parent_.take_all_of(taken_);
    of_parent_.take_all_of(queue_);
    on_its_way_ = has_taken_ = is_refused_ = false;
    turns_ = dropped_ = 0;
    run_ = 0;
}

python_turns::python_turns(error_function on_error) : on_error_(std::move(on_error)) {
    if (gil_held() && !gil_gate::was_opened() && !gil_gate::open()) {
        throw python_error::fetch();
    }
}

python_turns::~python_turns() { drop_queued(); }

bool python_turns::in_turn() const noexcept {
    for (auto const* each = turn::innermost; each != nullptr; each = each->outer) {
        if (&each->of == this) {
            return gil_held();
        }
    }
    return false;
}

void python_turns::add(queued_handler& added) {
    {
        std::scoped_lock const held(guard_);
        queue_.push(added);
        if (std::exchange(on_its_way_, true)) {
            return;
        }
    }
    try {
        schedule();
    } catch (...) {
        std::scoped_lock const held(guard_);
        on_its_way_ = false;
        if (queue_.remove(added)) {
            throw;
        }
    }
}

void python_turns::take_turn() {
    {
        std::scoped_lock const held(guard_);
        if (queue_.empty() && !has_taken_) {  // an earlier turn has run all
            on_its_way_ = false;
            return;
        }
    }
    bool is_full = false;
    try {
        gil_label const label("Asio handlers");
        gil_try_acquire const to_run;
        if (to_run) {
            turn const own(*this);
            is_full = run_ready_until(clock::now() + longest_turn);
        } else {
            refuse_turn();
        }
    } catch (...) {
        std::scoped_lock const held(guard_);
        on_its_way_ = false;
        throw;
    }
    if (is_full) {
        std::this_thread::sleep_for(pause);
    }
}

/// Python ends. A turn in progress ends after its usual length, and drops what is left then.
void python_turns::refuse_turn() noexcept {
    {
        std::scoped_lock const held(guard_);
        is_refused_ = true;
    }
    drop_turn();
}

namespace {

/// Whether a turn is over. Reading the clock takes as long as a short handler. As long as handlers
/// are short, it is read after every second one, every fourth, and so on.
class end_of_turn {
public:
    using clock = python_turns::clock;

    explicit end_of_turn(clock::time_point end) noexcept : end_(end) {}

    /// Called after each handler.
    [[nodiscard]] bool is_over() noexcept {
        if (--left_ > 0) {
            return false;
        }
        auto const now = clock::now();
        every_ = now - last_ < soon ? std::min(2 * every_, most) : 1;
        left_ = every_;
        last_ = now;
        return now >= end_;
    }

private:
    static constexpr unsigned most = 16;  // handlers
    static constexpr std::chrono::microseconds soon{20};

    clock::time_point const end_;
    clock::time_point last_ = end_ - python_turns::longest_turn;
    unsigned every_ = 1;
    unsigned left_ = 1;
};

}  // namespace

/// Returns whether it stopped because the turn was too long.
bool python_turns::run_ready_until(clock::time_point end) {
    end_of_turn its_end(end);
    bool begins = true;
    while (queued_handler* const next = take_next(std::exchange(begins, false))) {
        count_one(run_);
        run_here([next] { next->run(); });
        if (its_end.is_over() && give_way()) {
            return true;
        }
    }
    return false;
}

/// The next handler; null if there is none. If others are left behind it, another turn is
/// requested. GIL: held.
queued_handler* python_turns::take_next(bool turn_begins) {
    if (attached_threads_exclude_each_other && !turn_begins) {
        if (queued_handler* const next = taken_.pop()) {
            return next;
        }
    }
    queued_handler* next = nullptr;
    bool others_wait = false;
    {
        std::scoped_lock const held(guard_);
        on_its_way_ = on_its_way_ && !turn_begins;
        taken_.take_all_of(queue_);
        next = taken_.pop();
        has_taken_ = !taken_.empty();
        turns_ += turn_begins && next != nullptr ? 1 : 0;
        others_wait = has_taken_ && !std::exchange(on_its_way_, true);
    }
    if (others_wait) {
        try {
            schedule();
        } catch (...) {  // no memory: this turn runs all
            std::scoped_lock const held(guard_);
            on_its_way_ = false;
        }
    }
    return next;
}

/// Leaves what is taken to the next turn. Returns false if none is requested: this turn goes on. If
/// turns are refused by now, drops it instead. GIL: held.
bool python_turns::give_way() {
    bool is_refused = false;
    bool another_comes = false;
    {
        std::scoped_lock const held(guard_);
        is_refused = is_refused_;
        another_comes = on_its_way_;
        if (is_refused || another_comes) {
            taken_.take_all_of(queue_);  // behind what was taken before
            queue_.take_all_of(taken_);
            has_taken_ = false;
        }
    }
    if (is_refused) {
        drop_queued();
    }
    return another_comes;
}

void python_turns::drop_turn() noexcept {
    {
        std::scoped_lock const held(guard_);
        on_its_way_ = false;
    }
    drop_queued();
}

void python_turns::drop_queued() noexcept {
    for (;;) {
        queued_handler* dropped = nullptr;
        {
            std::scoped_lock const held(guard_);
            dropped = queue_.pop();
            if (dropped == nullptr) {
                return;
            }
            ++dropped_;
        }
        dropped->drop();
    }
}

python_executor_counts python_turns::counts() const {
    std::scoped_lock const held(guard_);
    return {.turns = turns_, .run = run_, .dropped = dropped_};
}

namespace {

/// Reports to sys.unraisablehook. GIL: held.
void report(std::exception_ptr const& error) noexcept {
    try {
        std::rethrow_exception(error);
    } catch (python_error const& raised) {
        raised.report();
        return;
    } catch (std::exception const& thrown) {
        PyErr_Format(PyExc_RuntimeError, "a handler of a handoff::python_executor threw: %s",
                     thrown.what());
    } catch (...) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a handler of a handoff::python_executor threw "
                        "something that is not a std::exception");
    }
    PyErr_WriteUnraisable(nullptr);
}

}  // namespace

/// Called in a handler of exceptions. GIL: held.
void python_turns::tell_of_exception() noexcept {
    std::exception_ptr error = std::current_exception();
    try {
        if (PyErr_Occurred() != nullptr) {  // the C++ exception only signals it
            error = std::make_exception_ptr(python_error::fetch());
        }
        if (on_error_ == nullptr) {
            report(error);
            return;
        }
        on_error_(error);
    } catch (...) {
        report(error);
        error = std::current_exception();
        if (PyErr_Occurred() != nullptr) {
            PyErr_WriteUnraisable(nullptr);
        } else {
            report(error);
        }
    }
}

}  // namespace handoff::detail
