// gil_gate: native threads enter Python through it; it is closed in order before Python ends.
#pragma once

#include <handoff/gil/detail/asymmetric_fence.hpp>
#include <handoff/gil/python.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>

namespace handoff {

/// Decides which threads may enter Python, knows which are inside, and delays Python's end until
/// none is.
///
/// Overview
///   A thread cannot ask whether Python is still running and then use it: the answer may be out of
///   date at once. So native threads enter through one gate. It is closed while Python can still
///   serve the threads inside. Python finalizes only after they have left. gil_try_acquire enters
///   for a moment; gil_registration is for a thread that works with Python for longer.
///
///     the gate is   a newcomer    a thread that is inside      until
///     never opened  is refused    -                            open()
///     open          is admitted   enters and leaves            close()
///     closing       is refused    the same, asked to stop      all have left, or the grace is over
///     closing       is refused    the same, asked to stop      all have left, or the grace ends
///                                 abandoned                    again
///
///   If a thread is refused because open() was forgotten, stderr says so, once per process. Before
///   Python has started and while it finalizes, a refusal is not a mistake.
///
/// Life cycle
///   open() connects the gate to the interpreter, whose `atexit` functions close it. Functions that
///   were registered later run earlier, so a module can stop its own threads first. A thread that
///   is still inside at the end of the grace is named on stderr.
///
/// Backends
///   Up to Python 3.14 only this order keeps the interpreter from ending while a thread uses it.
///   Since 3.15 a thread inside also owns a PyInterpreterGuard, for which finalization itself
///   waits, and enters with a PyInterpreterView. Source: PEP 788.
///
/// There is one gate per process, for its main interpreter. In the child of a fork() only the
/// thread that forked is inside, if it was inside before.
///
/// GIL:     any, unchanged, unless a member says otherwise.
/// Threads: any.
class [[gnu::visibility("default")]] gil_gate {
public:
    /// How long close() waits for the threads inside.
    static constexpr std::chrono::seconds grace{10};

    gil_gate() = delete;

    /// Opens it. Idempotent; several threads may call it at once.
    /// Returns: false with a Python error set: RuntimeError in a subinterpreter, while the gate is
    ///          closing, and while Python shuts down; MemoryError; any error of `atexit`. A
    ///          module's init function should then fail: `return nullptr`. With Boost.Python use
    ///          HANDOFF_PYTHON_MODULE, because BOOST_PYTHON_MODULE replaces the error by a
    ///          SystemError.
    /// GIL:     held; released for moments, because it runs Python code.
    [[nodiscard]] static bool open() noexcept;

    /// Whether a newcomer would be admitted now; this may change at any moment.
    [[nodiscard]] static bool is_open() noexcept;

    /// Whether open() has succeeded in this process before, even if the gate was closed since.
    [[nodiscard]] static bool was_opened() noexcept;

    /// Refuses newcomers, asks the registered threads to stop, and waits until all have left. After
    /// the grace, or at Ctrl-C, it abandons those that have not. Idempotent: it also waits if
    /// another thread is closing the gate.
    /// Returns: false with a Python error set if a signal handler raised it; the gate is still
    ///          closed.
    /// GIL:     held on entry and on return, released while it waits.
    [[nodiscard]] static bool close() noexcept;

    /// Abandons this thread at once, if it is inside. For callers that have waited for it in vain.
    static void abandon(std::thread::native_handle_type thread) noexcept;

    /// How many abandoned threads are still inside. If Python ends but the process does not, any of
    /// them may later ask for a GIL that no longer exists.
    [[nodiscard]] static std::size_t abandoned() noexcept;
};

namespace detail {

/// Announces that open() will be called as soon as Python has started. If a thread is refused
/// before, it is only early, and no message says that open() was forgotten.
[[gnu::visibility("default")]] void expect_the_gate_to_be_opened() noexcept;

/// The gate's answer to a thread that asks for admission, decided once.
enum class admission : unsigned char { granted, never_opened, not_open, no_memory };

/// The state of the gate, as a thread sees it that enters or leaves.
enum class gate_phase : unsigned char { never_opened, open, closing, closed };

/// What the gate knows about a thread that has entered before, until the thread ends.
struct [[gnu::visibility("default")]] thread_at_gate {
    enum class place : unsigned char { outside, inside, on_its_way_to_the_gil };

    explicit thread_at_gate(std::atomic<gate_phase> const& of_gate) noexcept : phase(of_gate) {}

    /// Enters if the gate has nothing to decide. Called by that thread.
    /// Returns: whether it is inside; if not, it may have shown itself inside.
    bool come_in() noexcept {
        if constexpr (comes_with_guard) {
            return false;
        }
        if (phase != gate_phase::open) {
            return false;
        }
        // gil_gate::close() writes the phase and then reads the place: at least one sees the other.
        store_shown(where, place::inside);
        return phase == gate_phase::open && !abandoned;
    }

    void leave() noexcept {
        if constexpr (comes_with_guard) {
            close_guard();
        }
        store_shown(where, place::outside);
        if (phase != gate_phase::open) [[unlikely]] {  // no thread waits before close()
            tell_that_one_is_out();
        }
    }

    /// From now on Python does not wait for the thread.
    void close_guard() noexcept;

    std::atomic<gate_phase> const& phase;  // the gate's

    // Written by the thread; in the child of a fork, by its only thread. Each write releases: when
    // close() reads that the thread is outside, all that it did in Python has happened before.
    std::atomic<place> where = place::outside;
    unsigned passages = 0;  // nested passages in which it is inside

    // Guarded by the gate's mutex, except the atomics.
    std::atomic<bool> abandoned = false;
    bool is_free = true;  // its thread has ended
    std::thread::native_handle_type thread{};
    std::optional<std::string_view> name;  // empty: it is inside for a moment
    std::stop_token stop;  // if there is a name
#if PY_VERSION_HEX >= 0x030F0000
    std::atomic<PyInterpreterGuard*> guard = nullptr;
#endif
    thread_at_gate* next = nullptr;  // in the list of all that were ever made

private:
    /// Since 3.15 a thread that enters also gets a PyInterpreterGuard, which takes calls.
    static constexpr bool comes_with_guard = PY_VERSION_HEX >= 0x030F0000;

    [[gnu::cold]] static void tell_that_one_is_out() noexcept;
};

/// The calling thread's; null until it first comes to the gate. A thread that has come before needs
/// no call to enter and leave. It has default visibility and one definition, like the gate's
/// functions: a module that finds its host's functions finds this variable there as well.
[[gnu::visibility("default")]] extern constinit thread_local thread_at_gate* this_thread_at_gate;

/// One thread's stay inside the gate, from admission to leaving. Nested stays share the outermost.
class [[gnu::visibility("default")]] passage {
public:
    /// Asks for admission, for a moment.
    passage() noexcept {
        thread_at_gate* const own = this_thread_at_gate;
        if (own != nullptr && (own->passages > 0 || own->come_in())) [[likely]] {
            in_ = own;
            ++own->passages;
        } else {
            ask();
        }
    }
    /// Asks for admission for a longer time. stop() then asks the thread to end. A message about
    /// late threads shows `name`. REQUIRES: the name has static storage.
    explicit passage(std::string_view name) noexcept;

    ~passage() {
        if (in_ == nullptr) {
            return;
        }
        if (has_named_it_) {
            forget_name();
        }
        if (--in_->passages == 0) {
            in_->leave();
        }
    }

    passage(passage const&) = delete;
    passage& operator=(passage const&) = delete;

    [[nodiscard]] bool admitted() const noexcept { return in_ != nullptr; }
    [[nodiscard]] admission answer() const noexcept { return answer_; }

    /// Whether the gate has abandoned the thread: it is not admitted any more.
    [[nodiscard]] bool abandoned() const noexcept { return admitted() && in_->abandoned; }

    /// Whether Python does not end while the passage lives, up to the gate's grace: the thread is
    /// inside, or the gate was never opened, and Python has not ended so far.
    [[nodiscard]] bool python_is_there() const noexcept;

    /// For a thread that was not admitted: says on stderr if open() was forgotten.
    /// Throws: std::bad_alloc if there was no memory to admit the thread.
    [[gnu::cold]] void explain_refusal() const;

    [[nodiscard]] std::stop_token stop() const noexcept {
        return admitted() ? in_->stop : std::stop_token();
    }

    /// Calls `acquire`, which waits for the GIL, unless the thread is abandoned; calls `release`
    /// if that happens meanwhile. The gate is not closed in between.
    /// Returns: whether acquire() was called and it remained so. Throws: what they throw.
    template <class Acquire, class Release>
    [[nodiscard]] bool unless_abandoned(Acquire acquire, Release release) {
        if (!admitted()) {
            return false;
        }
        // The gate writes `abandoned` and then reads the place: at least one sees the other.
        on_the_way const to_the_gil(in_->where);
        bool may = !in_->abandoned;
        if (may) {
            acquire();
            may = !in_->abandoned;
            if (!may) {
                release();
            }
        }
        return may;
    }

private:
    struct on_the_way {
        using place = thread_at_gate::place;
        explicit on_the_way(std::atomic<place>& shown) noexcept
            : shown_(shown), before_(shown.load(std::memory_order_relaxed)) {
            store_shown(shown_, place::on_its_way_to_the_gil);
        }
        ~on_the_way() { shown_.store(before_, std::memory_order_release); }
        on_the_way(on_the_way const&) = delete;
        on_the_way& operator=(on_the_way const&) = delete;

    private:
        std::atomic<place>& shown_;
        place before_;
    };

    [[gnu::noinline]] void ask() noexcept;
    [[gnu::noinline]] void forget_name() noexcept;

    thread_at_gate* in_ = nullptr;  // null: not admitted
    admission answer_ = admission::granted;
    bool has_named_it_ = false;
};

}  // namespace detail

}  // namespace handoff
