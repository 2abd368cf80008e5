// gil_gate: the way into Python for native threads, closed in order before Python ends.
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

/// Who may come in, who is in, and the end, which comes when nobody is.
///
/// Overview
///   To ask Python whether it is still there is to be too late: the answer holds for a moment. So
///   native threads come in through one gate, which is closed while they are still welcome, and
///   waited at until they are out; only then does Python finalize. gil_try_acquire is the way in
///   for a moment; gil_registration is for a thread that works with Python for longer.
///
///     the gate is   newcomers   who is in                  until
///     never opened  are not     -                          open()
///     open          let in      comes and goes             close()
///     closing       are not     does so, asked to stop     all are out, or the grace is over
///     closed        are not     is abandoned: not let in   open(), in the next interpreter's life
///
///   A thread that is refused because open() was forgotten says so on stderr, once in a process;
///   before Python has started and once it finalizes, to be refused is no mistake.
///
/// Life cycle
///   open() ties the gate to the interpreter, whose `atexit` functions close it. Those that were
///   registered later run before, so that a module can stop its own threads first. Who is still
///   in at the end of the grace is named on stderr.
///
/// Backends
///   Up to Python 3.14 it is this order alone that keeps the interpreter from ending under a
///   thread. Since 3.15 whoever is in also owns a PyInterpreterGuard, which finalization itself
///   waits for, and comes in by a PyInterpreterView. Source: PEP 788.
///
/// One for the process and its main interpreter. In the child of a fork() only the thread that
/// forked is in, if it was.
///
/// GIL:     any, unchanged, where a member does not say otherwise.
/// Threads: any.
class [[gnu::visibility("default")]] gil_gate {
public:
    /// How long close() waits for who is in.
    static constexpr std::chrono::seconds grace{10};

    gil_gate() = delete;

    /// Opens it. Idempotent; any number of threads may do so at once.
    /// Returns: false with a Python error set: RuntimeError in a subinterpreter, while the gate is
    ///          being closed, and where Python is shutting down; MemoryError; what `atexit` raises.
    ///          In a module's init function return it: `return nullptr`; with Boost.Python in
    ///          HANDOFF_PYTHON_MODULE, as BOOST_PYTHON_MODULE replaces it by a SystemError.
    /// GIL:     held; released for moments, as it runs Python code.
    [[nodiscard]] static bool open() noexcept;

    /// Whether a newcomer would be let in now; the next moment may differ.
    [[nodiscard]] static bool is_open() noexcept;

    /// Whether open() has succeeded in this process before, be it closed since or not.
    [[nodiscard]] static bool was_opened() noexcept;

    /// Lets no newcomer in, asks the registered threads to stop, and waits until all are out;
    /// after the grace, or at Ctrl-C, abandons those that are not. Idempotent: waits also where
    /// another thread is closing it.
    /// Returns: false with a Python error set when the handler of a signal raised it; closed all
    ///          the same.
    /// GIL:     held on entry and on return, released while it waits.
    [[nodiscard]] static bool close() noexcept;

    /// Abandons this thread at once, if it is in: for who has waited for it in vain before.
    static void abandon(std::thread::native_handle_type thread) noexcept;

    /// How many abandoned threads are still in. Where Python ends but the process does not, any of
    /// them may come back for a GIL that is gone.
    [[nodiscard]] static std::size_t abandoned() noexcept;
};

namespace detail {

/// Says that open() will be called as soon as Python has started: a thread that is refused
/// meanwhile is early, and nothing was forgotten.
[[gnu::visibility("default")]] void expect_the_gate_to_be_opened() noexcept;

/// What the gate answers a thread that asks for admission, decided once.
enum class admission : unsigned char { granted, never_opened, not_open, no_memory };

/// The gate, as a thread sees it that comes or goes.
enum class gate_phase : unsigned char { never_opened, open, closing, closed };

/// What the gate knows of a thread that has come to it, until the thread ends.
struct [[gnu::visibility("default")]] thread_at_gate {
    enum class place : unsigned char { outside, inside, on_its_way_to_the_gil };

    explicit thread_at_gate(std::atomic<gate_phase> const& of_gate) noexcept : phase(of_gate) {}

    /// Lets it in where the gate has nothing to decide. To be called by that thread.
    /// Returns: whether it is in; if not, it may have shown itself inside.
    bool come_in() noexcept {
        if constexpr (comes_with_guard) {
            return false;
        }
        if (phase != gate_phase::open) {
            return false;
        }
        // gil_gate::close() writes the second and then reads the first: one of us sees the other.
        store_shown(where, place::inside);
        return phase == gate_phase::open && !abandoned;
    }

    void leave() noexcept {
        if constexpr (comes_with_guard) {
            close_guard();
        }
        store_shown(where, place::outside);
        if (phase != gate_phase::open) [[unlikely]] {  // nobody waits before close()
            tell_that_one_is_out();
        }
    }

    /// Python does not wait for the thread any more.
    void close_guard() noexcept;

    std::atomic<gate_phase> const& phase;  // of the gate

    // Written by the thread. In a fork's child by the one thread that there is. Each write
    // releases: when close() reads that the thread is outside, all that it did in Python has
    // happened before.
    std::atomic<place> where = place::outside;
    unsigned passages = 0;  // that it is in, one within another

    // Guarded by the gate's mutex, but for the atomics.
    std::atomic<bool> abandoned = false;
    bool is_free = true;  // the thread that it was about has ended
    std::thread::native_handle_type thread{};
    std::optional<std::string_view> name;  // none: it is in for a moment
    std::stop_token stop;                  // where there is a name
#if PY_VERSION_HEX >= 0x030F0000
    std::atomic<PyInterpreterGuard*> guard = nullptr;
#endif
    thread_at_gate* next = nullptr;  // of all that there ever were

private:
    /// Since 3.15 who comes in also gets a PyInterpreterGuard, which takes calls.
    static constexpr bool comes_with_guard = PY_VERSION_HEX >= 0x030F0000;

    [[gnu::cold]] static void tell_that_one_is_out() noexcept;
};

/// The calling thread; null until it first comes to the gate. One that has come before needs no
/// call to come and go. Visible, and defined once, as the gate's functions are: a module that finds
/// its host's functions finds this one there as well.
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
    /// Asks for admission, for longer. stop() then asks the thread to end. A message names the
    /// thread by `name` when it is late. REQUIRES: the name has static storage.
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

    /// Whether the gate has given the thread up: it is not let in any more.
    [[nodiscard]] bool abandoned() const noexcept { return admitted() && in_->abandoned; }

    /// Whether Python does not end, up to the gate's grace, while the passage lives: the thread is
    /// in, or nobody has ever opened the gate, and Python has not ended so far.
    [[nodiscard]] bool python_is_there() const noexcept;

    /// What a thread that was not admitted has to know: says on stderr that the gate was forgotten.
    /// Throws: std::bad_alloc when there was no memory to admit it.
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
        // The gate writes the second and then reads the first: one of us sees the other.
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
