// log_queue: writing, the delivering thread, and the connections to Python's end and to fork().
#include "log_queue.hpp"

#include "delivery.hpp"
#include <handoff/channel/short_lock.hpp>
#include <handoff/gil/acquire.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/registration.hpp>
#include <handoff/gil/release.hpp>
#include <handoff/gil/try_acquire.hpp>
#include <handoff/python_error.hpp>

#include <boost/locale/utf.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <new>
#include <optional>
#include <pthread.h>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

using clock = std::chrono::steady_clock;

/// In one hold of the GIL; Python's other threads run in between, as in any code.
constexpr std::size_t most_in_a_batch = 256;
/// While records are dropped continuously, this is reported so often.
constexpr std::chrono::seconds longest_burst{1};
constexpr std::chrono::hours a_day{24};
constexpr std::chrono::seconds grace{10};

char const* const own_name = "handoff.logging";

/// What a record says about the thread that writes it; looked up once per thread and process.
struct writing_thread {
    pid_t native_id = 0;
    unsigned in_process = 0;  // forks() then
    std::array<char, size_of_thread_name> name{};

    // Set while it handles a record.
    bool delivers = false;
    bool is_nested = false;  // the record that it handles was written by a handler

    void look_up() noexcept {
        native_id = gettid();
        in_process = forks();
        pthread_getname_np(pthread_self(), name.data(), name.size());
    }
};

constinit thread_local writing_thread this_thread;

writing_thread& known_thread() noexcept {
    writing_thread& it = this_thread;
    if (it.native_id == 0 || it.in_process != forks()) [[unlikely]] {
        it.look_up();
    }
    return it;
}

std::chrono::steady_clock::time_point in(std::chrono::nanoseconds time) noexcept {
    return clock::now() + std::min<std::chrono::nanoseconds>(time, a_day * 365);
}

/// Whether the next character is one that a name may have: none that is not UTF-8, nor a null byte.
/// Goes behind it.
bool skip_character_of_name(std::string_view::iterator& next, std::string_view::iterator end) {
    auto const code = boost::locale::utf::utf_traits<char>::decode(next, end);
    return code != 0 && code != boost::locale::utf::illegal &&
           code != boost::locale::utf::incomplete;
}

bool is_name(std::string_view text) noexcept {
    for (auto next = text.begin(); next != text.end();) {
        if (!skip_character_of_name(next, text.end())) {
            return false;
        }
    }
    return true;
}

/// With \x00 in place of the bytes that make it no name.
std::string escaped(std::string_view text) {
    std::string shown;
    for (auto next = text.begin(); next != text.end();) {
        auto const begin = next;
        bool const is_known = skip_character_of_name(next, text.end());
        for (auto each = begin; each != next; ++each) {
            std::array<char, 5> byte{};
            std::snprintf(byte.data(), byte.size(), "\\x%02x", static_cast<unsigned char>(*each));
            shown += is_known ? std::string(1, *each) : byte.data();
        }
    }
    return shown;
}

log_record record_of(writing_thread const& by, std::string const* name, char const* stream,
                     std::string_view text) {
    return {.name = name,
            .stream = stream,
            .level = 0,
            .nested = by.delivers,
            .line = 0,
            .file = "",
            .function = "",
            .time = {},
            .ident = pthread_self(),
            .native_id = by.native_id,
            .thread_name = by.name,
            .text = short_text(text)};
}

/// For a thread on whose behalf another thread writes, and that may have ended.
void name_other_thread(log_record& record) noexcept {
    static_cast<void>(std::snprintf(record.thread_name.data(), record.thread_name.size(),
                                    "Thread-%d", static_cast<int>(record.native_id)));
}

}  // namespace

log_queue::generation::generation(log_sink::options const& chosen)
    : records(chosen.capacity,
              chosen.policy == when_full::drop_oldest ? when_full::drop_oldest : when_full::refuse),
      in(records) {}

void log_queue::generation::announce() noexcept {
    std::scoped_lock const held(lock);
    ++batches;
    changed.notify_all();
}

log_queue::log_queue(log_sink::options const& chosen)
    : chosen_(chosen), owned_(std::make_unique<generation>(chosen)), now_(owned_.get()) {
    if (chosen.patience < std::chrono::milliseconds::zero()) {
        throw std::invalid_argument("patience must not be negative, and is " +
                                    std::to_string(chosen.patience.count()) + " ms");
    }
}

log_queue::~log_queue() {
    for (kept_name* each : names_) {
        while (each != nullptr) {
            delete std::exchange(each, each->next);
        }
    }
}

log_name log_queue::name(std::string_view of_logger) {
    auto& names = names_.at(std::hash<std::string_view>()(of_logger) % names_.size());
    kept_name* const first = names.load(std::memory_order_acquire);
    for (kept_name* each = first; each != nullptr; each = each->next) {
        if (each->text == of_logger) {
            return log_name(each->text);
        }
    }
    if (!is_name(of_logger)) {
        throw std::invalid_argument(
            "a logger's name must be UTF-8 without a null byte, which this is not: \"" +
            escaped(of_logger) + "\"");
    }
    auto added =
        std::make_unique<kept_name>(kept_name{.text = std::string(of_logger), .next = first});
    while (!names.compare_exchange_weak(added->next, added.get(), std::memory_order_acq_rel)) {
    }
    return log_name(added.release()->text);
}

log_name log_queue::name_or(std::string_view of_logger, log_name otherwise) noexcept {
    try {
        return name(of_logger);
    } catch (std::exception const&) {  // the text is not a name, or there is no memory
        return otherwise;
    }
}

pushed log_queue::write(log_entry const& entry) noexcept {
    return write_made([&](writing_thread const& by) {
        log_record made = record_of(by, entry.logger.text_, nullptr, entry.text);
        made.level = static_cast<int>(entry.level);
        made.line = entry.line;
        made.file = entry.file;
        made.function = entry.function;
        made.time = entry.time.time_since_epoch().count() != 0 ? entry.time
                                                               : std::chrono::system_clock::now();
        if (entry.native_id != 0 && entry.native_id != by.native_id) [[unlikely]] {
            made.native_id = entry.native_id;
            name_other_thread(made);
        }
        return made;
    });
}

pushed log_queue::write_text(char const* stream, std::string_view text) noexcept {
    return write_made(
        [&](writing_thread const& by) { return record_of(by, nullptr, stream, text); });
}

template <class Make>
pushed log_queue::write_made(Make const& make) noexcept {
    writing_thread const& own = known_thread();
    generation& to = *now_.load(std::memory_order_acquire);
    if (own.is_nested) [[unlikely]] {
        ++to.recursive;
        return pushed::refused;
    }
    std::optional<clock::time_point> deadline;
    pushed answer = pushed::refused;
    try {
        for (;;) {
            unsigned const seen = to.batches.load(std::memory_order_acquire);
            answer = to.in.push(make(own));
            if (answer != pushed::refused || chosen_.policy != when_full::block || own.delivers)
                [[likely]] {
                break;
            }
            // The delivering thread, which makes the room, may not have been started.
            start_thread(to);
            if (!deadline) {
                deadline = in(chosen_.patience);
            }
            if (!await_room(to, seen, *deadline)) {
                break;
            }
        }
    } catch (std::bad_alloc const&) {
        answer = pushed::refused;
    }
    if (answer == pushed::taken) [[likely]] {
        if (!to.has_thread.load(std::memory_order_relaxed)) [[unlikely]] {
            start_thread(to);
        }
    } else {
        ++(answer == pushed::refused ? to.lost : to.refused);
    }
    return answer;
}

bool log_queue::await_room(generation& of, unsigned seen,
                           std::chrono::steady_clock::time_point deadline) const noexcept {
    std::optional<gil_release> while_it_waits;
    if (gil_held()) {
        while_it_waits.emplace();
    }
    std::unique_lock held(of.lock);
    return of.changed.wait_until(held, deadline,
                                 [&] { return of.batches != seen || of.has_ended; });
}

void log_queue::start_thread(generation& of) noexcept {
    if (!is_open_ || is_closed_ || of.has_thread.exchange(true)) {
        return;
    }
    // The program's own threads should get its signals.
    sigset_t all;
    sigset_t former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    try {
        std::thread([self = shared_from_this(), &of] { self->run(of); }).detach();
    } catch (std::exception const&) {  // no thread, or no memory for it
        of.has_thread = false;         // the next record tries again
    }
    pthread_sigmask(SIG_SETMASK, &former, nullptr);
}

void log_queue::run(generation& of) noexcept {
    pthread_setname_np(pthread_self(), "log sink");
    unsigned const process = forks();
    try {
        auto python = std::make_unique<gil_registration>("log sink");
        std::stop_callback const when_the_gate_closes(python->stop_token(),
                                                      [&] { of.records.close(); });
        deliver_all(of);
        if (forks() != process) {  // a handler has forked, and returned in the child
            // It keeps its thread state, also when the thread has ended: CPython 3.11 cannot make
            // the first one of an interpreter again.
            static_cast<void>(python.release());
            deliver_in_child();
            return;
        }
    } catch (std::bad_alloc const&) {
        of.lost += of.records.counts().size;
        of.records.close();
    }
    std::scoped_lock const held(of.lock);
    of.has_ended = of.records.ended();
    of.changed.notify_all();
}

bool log_queue::leaves(generation& of) noexcept {
    if (!of.ends_when_empty || of.records.size() > 0) {
        return false;
    }
    of.has_thread = false;
    return of.records.size() == 0 || of.has_thread.exchange(true);
}

void log_queue::deliver_in_child() {
    generation& now = *now_.load();
    if (now.records.size() > 0 && !now.has_thread.exchange(true)) {
        deliver_all(now);
    }
}

void log_queue::deliver_all(generation& of) {
    unsigned const process = forks();
    while (!of.records.ended() && !leaves(of)) {
        static_cast<void>(of.records.wait_until(clock::now() + a_day));
        auto const batch = of.records.take(most_in_a_batch);  // freed without the GIL
        if (batch.empty()) {
            continue;
        }
        of.announce();
        if (gil_try_acquire gil; gil) {
            log_delivery to(delivery_.get().get());
            this_thread.delivers = true;
            std::size_t left = batch.size();
            for (log_record const& each : batch) {
                if (of.is_given_up) {
                    break;
                }
                --left;
                this_thread.is_nested = each.nested;
                if (!to.deliver(each)) {
                    ++of.raised;
                }
                if (forks() != process) {
                    return;  // a handler has forked, and this is the child
                }
                ++of.handled;
            }
            of.undelivered += left;
            if (!of.is_given_up) {
                this_thread.is_nested = true;  // flushing and reporting make no records
                to.flush();
                tell_of_dropped(of, to);
            }
            this_thread.is_nested = false;
            this_thread.delivers = false;
        } else {  // Python has ended meanwhile
            of.undelivered += batch.size();
        }
        of.announce();
    }
}

/// A burst is over if none was dropped since the batch before, or nothing waits.
void log_queue::tell_of_dropped(generation& of, log_delivery& to) noexcept {
    std::uint64_t const dropped = of.dropped();
    bool const is_over = dropped == of.seen || of.records.size() == 0;
    of.seen = dropped;
    auto const now = clock::now();
    if (dropped == of.told) {
        of.told_at = now;
        return;
    }
    if (!is_over && now < of.told_at + longest_burst) {
        return;
    }
    std::uint64_t const since = dropped - std::exchange(of.told, dropped);
    of.told_at = now;
    try {
        log_record record =
            record_of(known_thread(), name(own_name).text_, nullptr,
                      std::to_string(since) + " log records were dropped: the queue of " +
                          std::to_string(chosen_.capacity) + " was full, or there was no memory");
        record.level = static_cast<int>(log_level::warning);
        record.time = std::chrono::system_clock::now();
        to.deliver(record);
    } catch (std::exception const&) {  // no memory
        of.told -= since;
    }
}

void log_queue::close() noexcept { now_.load()->records.close(); }

bool log_queue::open() noexcept {
    if (is_closed_) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the log sink is closed, as Python was ending: make another");
        return false;
    }
    if (is_open_) {
        return true;
    }
    reference names = log_delivery::load();  // first: logging's `atexit` function is to run last
    if (!names || !gil_gate::open()) {
        return false;
    }
    if (is_open_) {  // another thread was faster, because the code above releases the GIL
        return true;
    }
    try {
        gil_owned<reference> loaded(std::move(names));
        std::scoped_lock const alone(exclusion_);
        if (!delivery_) {  // what there is, a thread may use already
            delivery_ = std::move(loaded);
        }
    } catch (std::bad_alloc const&) {
        PyErr_NoMemory();
        return false;
    }
    if (!register_ends()) {
        return false;
    }
    is_open_ = true;
    generation& now = *now_.load();
    if (now.records.size() > 0) {
        start_thread(now);
    }
    return true;
}

bool log_queue::register_ends() noexcept {
    static PyMethodDef close{
        .ml_name = "close_log_sink",
        .ml_meth = &log_queue::at_exit,
        .ml_flags = METH_NOARGS,
        .ml_doc = "Delivers what native threads have logged, and takes no more."};
    static PyMethodDef begin{
        .ml_name = "begin_log_sink_in_child",
        .ml_meth = &log_queue::in_child,
        .ml_flags = METH_NOARGS,
        .ml_doc = "Empties the queue of what native threads of the parent have logged."};
    using weak = std::weak_ptr<log_queue>;
    std::unique_ptr<weak> own;
    try {
        own = std::make_unique<weak>(weak_from_this());
    } catch (std::bad_alloc const&) {
        PyErr_NoMemory();
        return false;
    }
    reference const capsule(PyCapsule_New(own.get(), nullptr, [](PyObject* dropped) {
        delete static_cast<weak*>(PyCapsule_GetPointer(dropped, nullptr));
    }));
    if (!capsule) {
        return false;
    }
    static_cast<void>(own.release());  // the capsule's
    reference const at_exit(PyCFunction_New(&close, capsule.get()));
    reference const in_child(PyCFunction_New(&begin, capsule.get()));
    reference const atexit(PyImport_ImportModule("atexit"));
    reference const os(PyImport_ImportModule("os"));
    reference const arguments(PyTuple_New(0));
    reference const register_at_fork(os ? PyObject_GetAttrString(os.get(), "register_at_fork")
                                        : nullptr);
    if (!at_exit || !in_child || !atexit || !arguments || !register_at_fork) {
        return false;
    }
    reference const exit_registered(
        PyObject_CallMethod(atexit.get(), "register", "O", at_exit.get()));
    reference const keywords(Py_BuildValue("{sO}", "after_in_child", in_child.get()));
    reference const fork_registered(
        exit_registered && keywords
            ? PyObject_Call(register_at_fork.get(), arguments.get(), keywords.get())
            : nullptr);
    return fork_registered != nullptr;
}

PyObject* log_queue::at_exit(PyObject* capsule, PyObject* /*none*/) noexcept {
    auto const queue =
        static_cast<std::weak_ptr<log_queue>*>(PyCapsule_GetPointer(capsule, nullptr))->lock();
    if (queue && !queue->close_and_wait()) {
        return nullptr;
    }
    return Py_NewRef(Py_None);
}

PyObject* log_queue::in_child(PyObject* capsule, PyObject* /*none*/) noexcept {
    auto const queue =
        static_cast<std::weak_ptr<log_queue>*>(PyCapsule_GetPointer(capsule, nullptr))->lock();
    if (queue && !queue->begin_in_child()) {
        return PyErr_NoMemory();
    }
    return Py_NewRef(Py_None);
}

bool log_queue::close_and_wait() noexcept {
    generation& now = *now_.load();
    if (now.records.size() > 0) {
        start_thread(now);  // if none could be started before
    }
    is_closed_ = true;
    close();
    wait_end end = wait_end::reached;
    if (now.has_thread) {
        end = interruptible_wait(in(grace), [&](auto until) {
            std::unique_lock held(now.lock);
            return now.changed.wait_until(held, until,
                                          [&] { return now.has_ended || !now.has_thread; });
        });
    }
    if (std::uint64_t const left = now.waiting() + now.undelivered; left > 0) {
        std::fprintf(stderr,
                     "handoff: Python ends, and a log sink has not delivered %llu records, as a "
                     "handler takes long or has not come back\n",
                     static_cast<unsigned long long>(left));
    }
    now.is_given_up = end != wait_end::reached;
    return end != wait_end::interrupted;
}

/// There is only one thread in this process: no thread writes meanwhile.
bool log_queue::begin_in_child() noexcept {
    if (is_closed_) {
        return true;
    }
    try {
        auto fresh = std::make_unique<generation>(chosen_);
        now_.store(fresh.get(), std::memory_order_release);
        fresh->of_parent = std::exchange(owned_, nullptr);
        owned_ = std::move(fresh);
    } catch (std::exception const&) {
        return false;
    }
    // A handler has forked: what it logs from now on belongs to the child.
    owned_->ends_when_empty = this_thread.delivers;
    this_thread.delivers = false;
    this_thread.is_nested = false;
    return true;
}

bool log_queue::follow_python_levels() noexcept {
    if (!is_open_) {
        PyErr_SetString(PyExc_RuntimeError, "the log sink is not open: open() comes first");
        return false;
    }
    PyObject* const function = PyDict_GetItemString(delivery_.get().get(), "lowest_level");
    reference const level(function != nullptr ? PyObject_CallNoArgs(function) : nullptr);
    long const number = level ? PyLong_AsLong(level.get()) : -1;
    if (number == -1 && PyErr_Occurred() != nullptr) {
        return false;
    }
    lowest_level = static_cast<int>(std::clamp<long>(number, 0, std::numeric_limits<int>::max()));
    return true;
}

bool log_queue::flush(std::chrono::nanoseconds at_most) {
    generation& now = *now_.load();
    if (!is_open_ || this_thread.delivers) {
        return false;
    }
    std::uint64_t const before = now.records.counts().pushed;
    // The queue is in order. So when all of them have left it, those that were not dropped are
    // among the records that have been taken by then.
    std::optional<std::uint64_t> taken;
    auto const is_done = [&] {
        if (!taken) {
            auto const all = now.records.counts();
            if (all.pushed - all.size < before) {
                return false;
            }
            taken = all.delivered;
        }
        return now.handled + now.undelivered >= *taken;
    };
    auto const end = interruptible_wait(in(at_most), [&](auto until) {
        std::unique_lock held(now.lock);
        return now.changed.wait_until(held, until, [&] { return now.has_ended || is_done(); });
    });
    if (end == wait_end::interrupted) {
        throw python_error::fetch();
    }
    return is_done() && now.undelivered == 0;
}

log_counts log_queue::counts() const noexcept {
    generation const& now = *now_.load();
    return {.delivered = now.handled,
            .dropped = now.dropped(),
            .recursive = now.recursive,
            .refused = now.refused,
            .raised = now.raised,
            .waiting = static_cast<std::size_t>(now.waiting())};
}

}  // namespace handoff::detail
