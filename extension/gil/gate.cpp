// gil_gate: admission, the ordered end, and the connections to the interpreter and to fork().
#include <handoff/gil/detail/asymmetric_fence.hpp>
#include <handoff/gil/detail/deferred_drop.hpp>
#include <handoff/gil/detail/finalizing.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/mutex.hpp>
#include <handoff/gil/release.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <pthread.h>
#include <utility>
#include <vector>

namespace handoff {

namespace detail {

constinit thread_local thread_at_gate* this_thread_at_gate = nullptr;

namespace {

/// The gate itself.
struct gate_state {
    using clock = std::chrono::steady_clock;

    using place = thread_at_gate::place;
    using phase = gate_phase;

    handoff::mutex mutex;
    // Written under the mutex.
    std::atomic<phase> now = phase::never_opened;
    unsigned long openings = 0;  // the opening that `now` belongs to
    std::atomic<unsigned long> closings = 0;
    condition_variable changed;
    thread_at_gate* first = nullptr;  // in the list of all threads that have come; never freed
    std::stop_source stop{std::nostopstate};
    std::atomic<bool> is_expected_to_open = false;
    std::atomic<bool> tied_to_fork = false;
#if PY_VERSION_HEX >= 0x030F0000
    std::atomic<PyInterpreterView*> view = nullptr;
    std::vector<PyInterpreterGuard*> left_behind;  // by a fork(): owned by the parent's threads

    /// Reserves room for what a fork() would leave behind, because the fork cannot fail. Mutex
    /// held.
    void make_room() {
        std::size_t needed = left_behind.size() + 1;
        for_each_thread([&](thread_at_gate const&) { ++needed; });
        if (needed > left_behind.capacity()) {
            left_behind.reserve(2 * needed);
        }
    }

    /// Not in the fork() itself, where Python's own locks are not free again.
    void close_what_was_left_behind() noexcept {
        for (PyInterpreterGuard* const each : std::exchange(left_behind, {})) {
            PyInterpreterGuard_Close(each);
        }
    }
#endif

    static gate_state& only() noexcept {
        static gate_state& it = make();
        return it;
    }

    /// Never destroyed, because static objects may still ask it while they are destroyed.
    [[gnu::cold]] static gate_state& make() noexcept {
        alignas(gate_state) static std::array<std::byte, sizeof(gate_state)> room;
        return *std::construct_at(reinterpret_cast<gate_state*>(room.data()));
    }

    template <class Visit>
    void for_each_thread(Visit visit) const {
        for (thread_at_gate* each = first; each != nullptr; each = each->next) {
            if (!each->is_free) {
                visit(*each);
            }
        }
    }

    template <class Visit>
    void for_each_inside(Visit visit) const {
        for_each_thread([&](thread_at_gate& each) {
            if (each.where != place::outside) {
                visit(each);
            }
        });
    }

    /// Makes the calling thread known, until it ends.
    /// Returns: false if there is no memory.
    [[gnu::cold]] bool meet() noexcept {
        try {
            std::scoped_lock const held(mutex);
#if PY_VERSION_HEX >= 0x030F0000
            make_room();
#endif
            thread_at_gate* it = first;
            while (it != nullptr && !it->is_free) {
                it = it->next;
            }
            if (it == nullptr) {
                it = new thread_at_gate(now);
                it->next = std::exchange(first, it);
            }
            if (!is_told_when_this_thread_ends(it)) {
                return false;
            }
            it->is_free = false;
            it->thread = pthread_self();
            this_thread_at_gate = it;
        } catch (std::bad_alloc const&) {
            return false;
        }
        return true;
    }

    /// A key's destructor. Destructors of other keys may follow, and what they destroy may be
    /// inside. So it acts in a later round, as long as there is one. Source:
    /// pthread_key_create(3p).
    void forget(thread_at_gate* ended) noexcept {
        if (ended->passages > 0) {
            is_told_when_this_thread_ends(ended);
            return;
        }
        this_thread_at_gate = nullptr;
        std::scoped_lock const held(mutex);
        ended->is_free = true;
    }

    static bool is_told_when_this_thread_ends(thread_at_gate* its) noexcept {
        struct thread_key {
            pthread_key_t key{};
            bool exists = pthread_key_create(&key, [](void* ended) {
                              only().forget(static_cast<thread_at_gate*>(ended));
                          }) == 0;
        };
        static thread_key const end_of_threads;
        return end_of_threads.exists && pthread_setspecific(end_of_threads.key, its) == 0;
    }

    /// Admits the calling thread, which is outside.
    admission admit() noexcept {
        if (now != phase::open) {
            return refusal();
        }
        if (this_thread_at_gate == nullptr && !meet()) {
            return admission::no_memory;
        }
        // close() writes the phase and then reads the place: at least one sees the other.
        store_shown(this_thread_at_gate->where, place::inside);
        admission answer = now == phase::open ? admission::granted : refusal();
        if (answer == admission::granted && this_thread_at_gate->abandoned) [[unlikely]] {
            answer = let_in_again(*this_thread_at_gate);
        }
#if PY_VERSION_HEX >= 0x030F0000
        if (answer == admission::granted) {
            answer = guard(*this_thread_at_gate);
        }
#endif
        if (answer != admission::granted) {
            this_thread_at_gate->leave();
        }
        return answer;
    }

    /// The thread was abandoned, has left since, and enters again. It is refused if the gate closes
    /// meanwhile, which may have abandoned it a second time.
    [[gnu::cold]] admission let_in_again(thread_at_gate& newcomer) noexcept {
        std::scoped_lock const held(mutex);
        if (now != phase::open) {
            return refusal();
        }
        newcomer.abandoned = false;
        return admission::granted;
    }

#if PY_VERSION_HEX >= 0x030F0000
    /// Not under the mutex. Python forks with a lock held that this takes, and fork() takes the
    /// mutex.
    admission guard(thread_at_gate& newcomer) noexcept {
        PyInterpreterGuard* const made = PyInterpreterGuard_FromView(view);
        if (made == nullptr) {
            // Python does not say why. While the gate is open, Python is usually not ending.
            return now == phase::open && Py_IsFinalizing() == 0 ? admission::no_memory : refusal();
        }
        newcomer.guard = made;
        if (newcomer.abandoned) {  // meanwhile, before there was a guard to close
            newcomer.close_guard();
        }
        return admission::granted;
    }
#endif

    /// Sets the name that messages show for the calling thread, and lets it be asked to stop.
    /// Returns: false if another passage has done so.
    [[gnu::noinline]] bool name(std::string_view name) noexcept {
        std::scoped_lock const held(mutex);
        if (this_thread_at_gate->name.has_value()) {
            return false;
        }
        this_thread_at_gate->name = name;
        this_thread_at_gate->stop = stop.get_token();
        return true;
    }

    [[gnu::noinline]] void forget_name(thread_at_gate& its) noexcept {
        std::stop_token const outlives_the_lock = std::exchange(its.stop, {});
        std::scoped_lock const held(mutex);
        its.name.reset();
    }

    [[nodiscard]] admission refusal() const noexcept {
        return now == phase::never_opened ? admission::never_opened : admission::not_open;
    }

    enum class outcome { done, being_closed, closed_meanwhile };

    /// The last step of gil_gate::open(), in which no Python code runs. `closings_before` is how
    /// often the gate had been closed at the first step: it must not be opened after Python's end.
    outcome open_it(std::stop_source& fresh, unsigned long closings_before) noexcept {
        std::scoped_lock const held(mutex);
        if (now == phase::open) {
            return outcome::done;  // by another thread, whose stop source registered threads know
        }
        if (now == phase::closing) {
            return outcome::being_closed;
        }
        if (closings != closings_before) {
            return outcome::closed_meanwhile;
        }
        stop.swap(fresh);
        ++openings;
        now = phase::open;
        return outcome::done;
    }

    /// From now on the thread keeps neither Handoff nor Python from ending. Mutex held.
    static void abandon(thread_at_gate& stuck) noexcept {
        stuck.abandoned = true;
#if PY_VERSION_HEX >= 0x030F0000
        stuck.close_guard();
#endif
    }

    /// Whether all threads except the calling one are outside. An abandoned one counts as outside,
    /// unless it is on its way to the GIL: it may have looked before it was abandoned. There it
    /// turns back. Mutex held.
    [[nodiscard]] bool empty() const noexcept {
        bool all_out = true;
        for_each_inside([&](thread_at_gate const& each) {
            bool const stays_out = each.abandoned && each.where != place::on_its_way_to_the_gil;
            all_out = all_out && (&each == this_thread_at_gate || stays_out);
        });
        return all_out;
    }

    /// After the gate's answer has changed: each known thread has seen the new answer, or this code
    /// sees where the thread is. A thread that comes later takes the mutex first. Mutex held.
    void fence_those_on_their_way() const noexcept {
        bool others = false;
        for_each_thread(
            [&](thread_at_gate const& each) { others = others || &each != this_thread_at_gate; });
        if (others) {
            fence_others();
        }
    }

    /// Whether the closing of that opening has ended; if all threads have left, this ends it.
    /// Mutex held.
    bool is_closed(unsigned long opening) noexcept {
        if (openings == opening && now == phase::closing && empty()) {
            now = phase::closed;
            changed.notify_all();
        }
        return openings != opening || now != phase::closing;
    }

    bool await_closed(unsigned long opening, clock::time_point until) noexcept {
        std::unique_lock held(mutex);
        return changed.wait_until(held, until, [&] { return is_closed(opening); });
    }

    /// Abandons the threads inside, with a message, and waits until none of them is on its way to
    /// the GIL: such a thread is refused and turns back. GIL: not held.
    void abandon_all(unsigned long opening, bool interrupted) noexcept {
        std::scoped_lock const held(mutex);
        if (is_closed(opening)) {
            return;
        }
        for_each_inside([&](thread_at_gate& each) {
            if (&each != this_thread_at_gate && !each.abandoned) {
                abandon(each);
                tell(each, interrupted);
            }
        });
        fence_those_on_their_way();
        while (!is_closed(opening)) {
            std::this_thread::yield();
        }
    }

    static void tell(thread_at_gate const& abandoned, bool interrupted) noexcept {
        std::array<char, 16> system_name{};
        pthread_getname_np(abandoned.thread, system_name.data(), system_name.size());
        bool const registered = abandoned.name.has_value();
        std::string_view const name = abandoned.name.value_or(system_name.data());
        std::fprintf(stderr, "handoff: at exit, native thread \"%.*s\" ",
                     static_cast<int>(name.size()), name.data());
        if (interrupted) {
            std::fputs("was still in Python at Ctrl-C", stderr);
        } else {
            std::fprintf(stderr,
                         registered ? "did not end within %lld s of being asked to stop"
                                    : "was in Python for %lld s",
                         static_cast<long long>(gil_gate::grace.count()));
        }
        std::fputs("; it is abandoned, and cannot enter Python any more\n", stderr);
    }

    /// The child of a fork() has no other threads. It forgets them, and leaves their stop callbacks
    /// alone.
    void forget_others() noexcept {
        for_each_thread([&](thread_at_gate& each) {
            if (&each == this_thread_at_gate) {
                return;
            }
#if PY_VERSION_HEX >= 0x030F0000
            if (PyInterpreterGuard* const its = each.guard.exchange(nullptr)) {
                left_behind.push_back(its);
            }
#endif
            each.where = place::outside;
            each.passages = 0;
            each.abandoned = false;
            each.name.reset();
            std::construct_at(&each.stop);
            each.is_free = true;
        });
        std::construct_at(&stop, std::nostopstate);
        if (now != phase::never_opened) {
            try {
                stop = std::stop_source();
            } catch (std::bad_alloc const&) {  // NOLINT(bugprone-empty-catch): no thread is asked
            }
        }
        if (now == phase::closing) {
            stop.request_stop();
            now = phase::closed;  // the closing thread may not exist in this process
        }
        if (this_thread_at_gate != nullptr && this_thread_at_gate->name.has_value()) {
            this_thread_at_gate->stop = stop.get_token();
        }
        std::construct_at(&changed);
    }

    /// Returns whether there was memory for it.
    bool tie_to_fork() noexcept {
        // Two threads may open it at the same time.
        if (!tied_to_fork.exchange(true, std::memory_order_relaxed)) {
            tied_to_fork =
                pthread_atfork([] { only().mutex.lock(); }, [] { only().mutex.unlock(); },
                               [] {
                                   only().forget_others();
                                   only().mutex.unlock();
                               }) == 0;
        }
        return tied_to_fork;
    }
};

}  // namespace

void passage::ask() noexcept {
    if (this_thread_at_gate != nullptr &&
        this_thread_at_gate->where != gate_state::place::outside) {
        this_thread_at_gate->leave();  // the gate closed meanwhile, or had abandoned the thread
    }
    answer_ = gate_state::only().admit();
    if (answer_ == admission::granted) {
        in_ = this_thread_at_gate;
        ++in_->passages;
    }
}

passage::passage(std::string_view name) noexcept : passage() {
    has_named_it_ = admitted() && gate_state::only().name(name);
}

void passage::forget_name() noexcept { gate_state::only().forget_name(*in_); }

void thread_at_gate::close_guard() noexcept {
#if PY_VERSION_HEX >= 0x030F0000
    if (PyInterpreterGuard* const closed = guard.exchange(nullptr)) {
        PyInterpreterGuard_Close(closed);
    }
#endif
}

void thread_at_gate::tell_that_one_is_out() noexcept {
    gate_state& gate = gate_state::only();
    std::scoped_lock const held(gate.mutex);
    gate.changed.notify_all();
}

bool passage::python_is_there() const noexcept {
    return admitted() || (answer_ == admission::never_opened && Py_IsInitialized() != 0);
}

void passage::explain_refusal() const {
    if (answer_ == admission::no_memory) {
        throw std::bad_alloc();
    }
    if (answer_ != admission::never_opened || gate_state::only().is_expected_to_open ||
        Py_IsInitialized() == 0 || is_finalizing()) {
        return;
    }
    static std::atomic<bool> is_told = false;
    if (!is_told.exchange(true)) {
        std::fputs(
            "handoff: gil_gate was never opened, so gil_try_acquire and gil_registration let no "
            "native thread into Python: call handoff::gil_gate::open() once, with the GIL held, "
            "for example in the module's init function\n",
            stderr);
    }
}

void expect_the_gate_to_be_opened() noexcept { gate_state::only().is_expected_to_open = true; }

}  // namespace detail

namespace {

using detail::gate_state;

/// Whether the atexit functions are running or have run, so that a new one would not be called.
/// This is known if threading has been imported, whose main thread ends just before.
/// Returns: false also if it is not known; true with an error set if a signal handler raised.
bool is_shutting_down() noexcept {
    PyObject* const modules = PyImport_GetModuleDict();  // borrowed
    PyObject* const threading = Py_XNewRef(PyDict_GetItemString(modules, "threading"));
    PyObject* const main =
        threading != nullptr ? PyObject_CallMethod(threading, "main_thread", nullptr) : nullptr;
    PyObject* const alive =
        main != nullptr ? PyObject_CallMethod(main, "is_alive", nullptr) : nullptr;
    bool const ended = alive == Py_False;
    Py_XDECREF(alive);
    Py_XDECREF(main);
    Py_XDECREF(threading);
    if (PyErr_Occurred() != nullptr && PyErr_ExceptionMatches(PyExc_Exception) == 0) {
        return true;  // KeyboardInterrupt
    }
    PyErr_Clear();  // another module named threading
    if (ended) {
        PyErr_SetString(PyExc_RuntimeError, "gil_gate cannot be opened: Python is shutting down");
    }
    return ended;
}

bool register_at_exit() noexcept {
    static PyMethodDef close = {
        .ml_name = "close_gil_gate",
        .ml_meth = [](PyObject*, PyObject*) -> PyObject* {
            return gil_gate::close() ? Py_NewRef(Py_None) : nullptr;
        },
        .ml_flags = METH_NOARGS,
        .ml_doc = "Waits for the native threads that are in Python, and lets no other in."};
    PyObject* const function = PyCFunction_New(&close, nullptr);
    PyObject* const atexit = PyImport_ImportModule("atexit");
    PyObject* const registered = function != nullptr && atexit != nullptr
                                     ? PyObject_CallMethod(atexit, "register", "O", function)
                                     : nullptr;
    bool const succeeded = registered != nullptr;
    Py_XDECREF(registered);
    Py_XDECREF(atexit);
    Py_XDECREF(function);
    return succeeded;
}

}  // namespace

bool gil_gate::open() noexcept {
    gate_state& gate = gate_state::only();
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "gil_gate leads into the main interpreter, and this is a subinterpreter");
        return false;
    }
    if (gate.now == gate_state::phase::open) {
        return true;
    }
    // First comes what runs Python code. Other threads run meanwhile, and may open and close the
    // gate. Only then is its state read again, and the gate opened in one step.
    unsigned long const closings_before = gate.closings;
    // In this order: a function that was registered before Python shut down will be called.
    if (!register_at_exit() || is_shutting_down()) {
        return false;
    }
    detail::prepare_to_fence_others();
    std::stop_source stop(std::nostopstate);
    try {
        stop = std::stop_source();
    } catch (std::bad_alloc const&) {
        PyErr_NoMemory();
        return false;
    }
    if (!gate.tie_to_fork()) {
        PyErr_NoMemory();
        return false;
    }
#if PY_VERSION_HEX >= 0x030F0000
    // One for each of the interpreter's lives. It is not closed, because a native thread may read
    // it.
    if (gate.view == nullptr || gate.now == gate_state::phase::closed) {
        PyInterpreterView* const view = PyInterpreterView_FromCurrent();
        if (view == nullptr) {
            return false;
        }
        gate.view = view;
    }
#endif
    switch (gate.open_it(stop, closings_before)) {
        case gate_state::outcome::done:
            return true;
        case gate_state::outcome::being_closed:
            PyErr_SetString(PyExc_RuntimeError,
                            "gil_gate cannot be opened: it is being closed; open it afterwards");
            return false;
        case gate_state::outcome::closed_meanwhile:
            break;
    }
    PyErr_SetString(
        PyExc_RuntimeError,
        "gil_gate is not opened: it was opened and closed by others meanwhile; open it again");
    return false;
}

bool gil_gate::is_open() noexcept { return gate_state::only().now == gate_state::phase::open; }

bool gil_gate::was_opened() noexcept {
    return gate_state::only().now != gate_state::phase::never_opened;
}

bool gil_gate::close() noexcept {
    using phase = gate_state::phase;
    gate_state& gate = gate_state::only();
    unsigned long opening = 0;
    std::optional<std::stop_source> stop;
    {
        std::scoped_lock const held(gate.mutex);
        ++gate.closings;
        if (gate.now != phase::open && gate.now != phase::closing) {
            return true;
        }
        gate.now = phase::closing;
        opening = gate.openings;
        stop = gate.stop;
        gate.fence_those_on_their_way();
#if PY_VERSION_HEX >= 0x030F0000
        gate.close_what_was_left_behind();
#endif
    }
    auto const deadline = gate_state::clock::now() + grace;
    {
        gil_release while_they_hear_of_it;
        stop->request_stop();
    }
    auto const end = detail::interruptible_wait(
        deadline, [&](auto until) { return gate.await_closed(opening, until); });
    bool const interrupted = end == detail::wait_end::interrupted;
    if (end != detail::wait_end::reached) {
        gil_release while_they_turn_back;
        gate.abandon_all(opening, interrupted);
    }
    detail::drops.drop_if_any();
    return !interrupted;
}

void gil_gate::abandon(std::thread::native_handle_type thread) noexcept {
    gate_state& gate = gate_state::only();
    std::scoped_lock const held(gate.mutex);
    gate.for_each_inside([&](detail::thread_at_gate& each) {
        if (pthread_equal(each.thread, thread) != 0) {
            gate_state::abandon(each);
        }
    });
    gate.changed.notify_all();
}

std::size_t gil_gate::abandoned() noexcept {
    gate_state& gate = gate_state::only();
    std::scoped_lock const held(gate.mutex);
    std::size_t count = 0;
    gate.for_each_inside(
        [&](detail::thread_at_gate const& each) { count += each.abandoned ? 1 : 0; });
    return count;
}

}  // namespace handoff
