// gil_gate: admission, the ordered end, and the ties to the interpreter and to fork().
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

/// The gate itself.
struct gate_state {
    using clock = std::chrono::steady_clock;

    enum class phase : unsigned char { never_opened, open, closing, closed };

    handoff::mutex mutex;
    // Written under the mutex.
    std::atomic<phase> now = phase::never_opened;
    unsigned long openings = 0;  // which of them `now` is about
    std::atomic<unsigned long> closings = 0;
    condition_variable changed;
    passage* first = nullptr;  // of those that are in
    std::stop_source stop{std::nostopstate};
    std::atomic<bool> is_expected_to_open = false;
    bool tied_to_fork = false;
#if PY_VERSION_HEX >= 0x030F0000
    std::atomic<PyInterpreterView*> view = nullptr;
    std::vector<PyInterpreterGuard*> left_behind;  // by a fork(): owned by threads of the parent's

    /// Room for what a fork() would leave behind, as the fork itself cannot fail. Mutex held.
    bool make_room() noexcept {
        std::size_t needed = left_behind.size() + 1;
        for_each_inside([&](passage const&) { ++needed; });
        try {
            if (needed > left_behind.capacity()) {
                left_behind.reserve(2 * needed);
            }
        } catch (std::bad_alloc const&) {
            return false;
        }
        return true;
    }

    /// Not in the fork() itself, where Python's own locks are not yet free again.
    void close_what_was_left_behind() noexcept {
        for (PyInterpreterGuard* const each : std::exchange(left_behind, {})) {
            PyInterpreterGuard_Close(each);
        }
    }
#endif

    static gate_state& only() noexcept {
        // Never destroyed: static objects that are may still ask it.
        alignas(gate_state) static std::array<std::byte, sizeof(gate_state)> room;
        static gate_state& it = *std::construct_at(reinterpret_cast<gate_state*>(room.data()));
        return it;
    }

    /// The calling thread's passage, if it is in.
    static thread_local passage* own;

    template <class Visit>
    void for_each_inside(Visit visit) const {
        for (passage* each = first; each != nullptr;) {
            visit(*std::exchange(each, each->next_));
        }
    }

    admission admit(passage& newcomer) noexcept {
        if (now != phase::open) {
            return refusal();
        }
#if PY_VERSION_HEX >= 0x030F0000
        // Not under the mutex: Python forks, for which we lock it, with a lock held that this
        // takes.
        newcomer.guard_ = PyInterpreterGuard_FromView(view);
        if (newcomer.guard_ == nullptr) {
            // Python does not say why. While the gate is open it is not ending, as a rule.
            return now == phase::open && Py_IsFinalizing() == 0 ? admission::no_memory : refusal();
        }
#endif
        std::scoped_lock const held(mutex);
        admission answer = now == phase::open ? admission::granted : refusal();
#if PY_VERSION_HEX >= 0x030F0000
        if (answer == admission::granted && !make_room()) {
            answer = admission::no_memory;
        }
#endif
        if (answer != admission::granted) {
            abandon(newcomer);
            return answer;
        }
        newcomer.thread_ = pthread_self();
        newcomer.stop_ = stop.get_token();
        newcomer.next_ = std::exchange(first, &newcomer);
        if (newcomer.next_ != nullptr) {
            newcomer.next_->previous_ = &newcomer;
        }
        return answer;
    }

    [[nodiscard]] admission refusal() const noexcept {
        return now == phase::never_opened ? admission::never_opened : admission::not_open;
    }

    enum class outcome { done, being_closed, closed_meanwhile };

    /// The last step of gil_gate::open(), in which no Python code runs. `closings_before` is how
    /// often it had been closed at the first step: it must not be open after Python's end has come.
    outcome open_it(std::stop_source& fresh, unsigned long closings_before) noexcept {
        std::scoped_lock const held(mutex);
        if (now == phase::open) {
            return outcome::done;  // by another thread, and registered threads know its stop source
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

    void leave(passage& leaving) noexcept {
        std::scoped_lock const held(mutex);
        (leaving.previous_ != nullptr ? leaving.previous_->next_ : first) = leaving.next_;
        if (leaving.next_ != nullptr) {
            leaving.next_->previous_ = leaving.previous_;
        }
#if PY_VERSION_HEX >= 0x030F0000
        abandon(leaving);  // closes its guard
#endif
        if (now != phase::open) {  // nobody waits before close()
            changed.notify_all();
        }
    }

    /// From now on it keeps neither us nor Python from ending. Mutex held.
    static void abandon(passage& stuck) noexcept {
        stuck.abandoned_ = true;
#if PY_VERSION_HEX >= 0x030F0000
        if (PyInterpreterGuard* const closed = std::exchange(stuck.guard_, nullptr)) {
            PyInterpreterGuard_Close(closed);
        }
#endif
    }

    /// Whether all but the calling thread are out. Mutex held.
    [[nodiscard]] bool empty() const noexcept {
        bool all_out = true;
        for_each_inside(
            [&](passage const& each) { all_out = all_out && (&each == own || each.abandoned_); });
        return all_out;
    }

    /// Whether the closing of that opening is over; if it is because all are out, this ends it.
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

    /// Abandons who is in, with a message, and waits until none of them is on its way to the GIL:
    /// it finds the way barred and turns back. GIL: not held.
    void abandon_all(unsigned long opening, bool interrupted) noexcept {
        std::scoped_lock const held(mutex);
        if (is_closed(opening)) {
            return;
        }
        for_each_inside([&](passage& each) {
            if (&each != own && !each.abandoned_) {
                abandon(each);
                tell(each, interrupted);
            }
        });
        for_each_inside([](passage const& each) {
            while (each.acquiring_) {
                std::this_thread::yield();
            }
        });
        is_closed(opening);
    }

    static void tell(passage const& abandoned, bool interrupted) noexcept {
        std::array<char, 16> system_name{};
        pthread_getname_np(abandoned.thread_, system_name.data(), system_name.size());
        bool const registered = !abandoned.name_.empty();
        std::string_view const name = registered ? abandoned.name_ : system_name.data();
        std::fprintf(stderr, "handoff: at exit, native thread \"%.*s\" ",
                     static_cast<int>(name.size()), name.data());
        if (interrupted) {
            std::fputs("was still in Python at Ctrl-C", stderr);
        } else {
            std::fprintf(stderr, "%s for %lld s",
                         registered ? "did not end although asked to stop" : "was in Python",
                         static_cast<long long>(gil_gate::grace.count()));
        }
        std::fputs("; it is abandoned, and not let into Python any more\n", stderr);
    }

    /// In the child of a fork() there are no others; what they have in their stacks, stop
    /// callbacks too, is not touched any more.
    void forget_others() noexcept {
#if PY_VERSION_HEX >= 0x030F0000
        for_each_inside([this](passage& each) {
            if (&each != own && each.guard_ != nullptr) {
                left_behind.push_back(each.guard_);
            }
        });
#endif
        first = own;
        std::construct_at(&stop, std::nostopstate);
        if (now != phase::never_opened) {
            try {
                stop = std::stop_source();
            } catch (std::bad_alloc const&) {  // NOLINT(bugprone-empty-catch): none is asked then
            }
        }
        if (now == phase::closing) {
            stop.request_stop();
            now = phase::closed;  // who was closing it may be no thread of this process
        }
        if (own != nullptr) {
            own->previous_ = nullptr;
            own->next_ = nullptr;
            own->stop_ = stop.get_token();
        }
        std::construct_at(&changed);
    }

    /// Returns whether there was memory for it.
    bool tie_to_fork() noexcept {
        tied_to_fork = tied_to_fork ||
                       pthread_atfork([] { only().mutex.lock(); }, [] { only().mutex.unlock(); },
                                      [] {
                                          only().forget_others();
                                          only().mutex.unlock();
                                      }) == 0;
        return tied_to_fork;
    }
};

thread_local passage* gate_state::own = nullptr;

passage::passage(std::string_view name) noexcept : name_(name), in_(gate_state::own) {
    if (in_ == nullptr) {
        answer_ = gate_state::only().admit(*this);
        if (answer_ == admission::granted) {
            gate_state::own = in_ = this;
        }
    }
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

passage::~passage() {
    if (in_ == this) {
        gate_state::own = nullptr;
        gate_state::only().leave(*this);
    }
}

}  // namespace detail

namespace {

using detail::gate_state;

/// Whether the atexit functions are being called, or have been: one more would not be. It is known
/// where threading has been imported, whose main thread ends just before.
/// Returns: false also when it is not known; true with an error set when a signal's handler raised.
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
    PyErr_Clear();  // somebody else's threading
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
    // First what runs Python code, in which other threads have their turn: they may open the gate,
    // and close it. Only then is it looked at again, and opened in one step.
    unsigned long const closings_before = gate.closings;
    // In this order: what was registered while Python was not shutting down will be called.
    if (!register_at_exit() || is_shutting_down()) {
        return false;
    }
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
    // One for each of the interpreter's lives. Not closed: a native thread may yet look at it.
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
    gate.for_each_inside([&](detail::passage& each) {
        if (pthread_equal(each.thread_, thread) != 0) {
            gate_state::abandon(each);
        }
    });
    gate.changed.notify_all();
}

std::size_t gil_gate::abandoned() noexcept {
    gate_state& gate = gate_state::only();
    std::scoped_lock const held(gate.mutex);
    std::size_t count = 0;
    gate.for_each_inside([&](detail::passage const& each) { count += each.abandoned_ ? 1 : 0; });
    return count;
}

}  // namespace handoff
