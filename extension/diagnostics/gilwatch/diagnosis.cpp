// diagnosis: finds the frame of the wait and the user's frame, and what follows from both.
#include "diagnosis.hpp"

#include "handoff_pieces.hpp"
#include "stack_lines.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace handoff::detail {

namespace {

/// A part of a function's name, and what a thread does that is in this function.
using sign = std::pair<std::string_view, activity>;

// Python's functions for the system's waits, which are further in.
constexpr std::array signs_of_python = std::to_array<sign>({
    {"take_gil", activity::waits_for_the_gil},
    {"PyEval_RestoreThread", activity::waits_for_the_gil},
    {"PyEval_AcquireThread", activity::waits_for_the_gil},
    {"PyGILState_Ensure", activity::waits_for_the_gil},
    {"PyThreadState_Ensure", activity::waits_for_the_gil},
    {"PyThread_acquire_lock", activity::waits_for_a_lock_of_python},
    {"_PyMutex_Lock", activity::waits_for_a_lock_of_python},
    {"_PyParkingLot_Park", activity::waits_for_a_lock_of_python},
    {"_PySemaphore_Wait", activity::waits_for_a_lock_of_python},
    {"gc_collect_main", activity::collects_garbage},
    {"gc_collect_internal", activity::collects_garbage},
    {"interpreter::stop", activity::stops_the_interpreter},
    {"gilwatch::report", activity::asks_for_a_report},
    {"gilwatch_report", activity::asks_for_a_report},
});
// The first sign that one of the frames has, the innermost frames first.
constexpr std::array signs_of_the_system = std::to_array<sign>({
    {"__cxa_guard_acquire", activity::waits_for_a_static_initialiser},
    {"std::call_once", activity::waits_for_a_static_initialiser},
    {"pthread_once", activity::waits_for_a_static_initialiser},
    {"pthread_join", activity::joins_a_thread},
    {"pthread_clockjoin", activity::joins_a_thread},
    {"pthread_timedjoin", activity::joins_a_thread},
    {"std::thread::join", activity::joins_a_thread},
    {"std::jthread::join", activity::joins_a_thread},
    {"pthread_mutex_lock", activity::locks_a_mutex},
    {"pthread_mutex_timedlock", activity::locks_a_mutex},
    {"pthread_mutex_clocklock", activity::locks_a_mutex},
    {"pthread_rwlock", activity::locks_a_mutex},
    {"lll_lock_wait", activity::locks_a_mutex},
    {"pthread_cond_", activity::waits_for_a_condition},
    {"std::condition_variable", activity::waits_for_a_condition},
    {"std::counting_semaphore", activity::waits_for_a_semaphore},
    {"__atomic_wait_address", activity::waits_for_another_thread},
    {"__platform_wait", activity::waits_for_another_thread},
    {"sem_wait", activity::waits_for_a_semaphore},
    {"sem_timedwait", activity::waits_for_a_semaphore},
    {"sem_clockwait", activity::waits_for_a_semaphore},
    {"nanosleep", activity::sleeps},
    {"waitpid", activity::waits_for_a_process},
    {"wait4", activity::waits_for_a_process},
    {"waitid", activity::waits_for_a_process},
});
// These whole names, except for underscores before them.
constexpr std::array calls_of_the_system = std::to_array<std::string_view>(
    {"read",    "write",     "readv",      "writev",    "pread64",    "recv",        "recvfrom",
     "recvmsg", "send",      "sendto",     "sendmsg",   "accept",     "accept4",     "connect",
     "poll",    "ppoll",     "select",     "pselect",   "epoll_wait", "epoll_pwait", "flock",
     "fsync",   "libc_read", "libc_write", "libc_recv", "libc_accept"});

constexpr std::array waits_for_signals = std::to_array<std::string_view>(
    {"pause", "libc_pause", "sigwait", "sigwaitinfo", "sigtimedwait", "sigsuspend"});

std::optional<activity> first_sign(std::span<call_frame const> frames,
                                   std::span<sign const> signs) {
    for (call_frame const& frame : frames) {
        auto const found = std::ranges::find_if(signs, [&](sign const& each) {
            return frame.function.find(each.first) != std::string::npos;
        });
        if (found != signs.end()) {
            return found->second;
        }
    }
    return std::nullopt;
}

/// A name of libc's without the underscores before it and the version behind it.
std::string_view bare(std::string_view function) {
    function.remove_prefix(std::min(function.find_first_not_of('_'), function.size()));
    return function.substr(0, function.find('@'));
}

/// From `  File "/a/script.py", line 12 in f` to `f() at script.py:12`.
std::string python_place(std::string const& line) {
    auto const file_begin = line.find('"');
    auto const file_end = line.find('"', file_begin + 1);
    static constexpr std::string_view before_number = ", line ";
    static constexpr std::string_view before_name = " in ";
    auto const number = line.find(before_number, file_end);
    auto const name = line.find(before_name, number);
    if (file_begin == std::string::npos || name == std::string::npos) {
        return {};
    }
    std::string file = line.substr(file_begin + 1, file_end - file_begin - 1);
    file.erase(0, file.rfind('/') + 1);
    auto const number_begin = number + before_number.size();
    std::string place = line.substr(name + before_name.size());
    place = place.starts_with('<') ? std::string() : place.append("() at ");
    return place.append(file).append(":").append(line, number_begin, name - number_begin);
}

bool is_of_the_library(std::string const& line) {
    static constexpr std::array parts = std::to_array<std::string_view>(
        {"/threading.py\"", "/queue.py\"", "/selectors.py\"", "/asyncio/", "/concurrent/futures/",
         "/subprocess.py\"", "<frozen importlib", "/importlib/", "/socket.py\"",
         "/multiprocessing/", "/gilwatch/__init__.py\""});
    return std::ranges::any_of(parts,
                               [&](auto part) { return line.find(part) != std::string::npos; });
}

/// The innermost line of a Python stack that is not a wait of the standard library; else the first.
std::string users_line(std::string const& python) {
    std::string first;
    for (std::size_t begin = 0; begin < python.size();) {
        auto const end = std::min(python.find('\n', begin), python.size());
        std::string line = python.substr(begin, end - begin);
        begin = end + 1;
        if (line.find("File \"") == std::string::npos) {
            continue;
        }
        if (!is_of_the_library(line)) {
            return line;
        }
        first = first.empty() ? std::move(line) : first;
    }
    return first;
}

std::string in_seconds(std::chrono::duration<double> time) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.3g s", time.count());
    return text.data();
}

std::string named(thread_seen const& thread) {
    std::string const id = std::to_string(thread.id);
    return thread.is_main                ? "the main thread"
           : thread.name.empty()         ? "thread " + id
           : thread.another_has_its_name ? "thread '" + thread.name + "', tid " + id
                                         : "thread '" + thread.name + "'";
}

std::string_view words_of(activity does) {
    switch (does) {
        case activity::works:
            return "works";
        case activity::does_not_answer:
            return "does not answer";
        case activity::joins_a_thread:
            return "waits for the end of a thread";
        case activity::locks_a_mutex:
            return "waits for a mutex";
        case activity::waits_for_a_condition:
            return "waits for a condition variable";
        case activity::waits_for_a_static_initialiser:
            return "waits for a static variable that another thread initialises";
        case activity::waits_for_a_semaphore:
            return "waits for a semaphore";
        case activity::waits_for_another_thread:
            return "waits for another thread (an atomic, a latch or a barrier)";
        case activity::sleeps:
            return "sleeps";
        case activity::waits_for_input_or_output:
            return "waits for input or output";
        case activity::waits_for_a_process:
            return "waits for a process";
        case activity::waits_for_a_signal:
            return "waits for a signal";
        case activity::waits_for_the_gil:
            return "waits for the GIL";
        case activity::waits_for_a_lock_of_python:
            return "waits for a lock of Python's";
        case activity::waits_for_an_import:
            return "waits for another thread's import";
        case activity::joins_a_thread_of_python:
            return "waits for the end of a Python thread";
        case activity::collects_garbage:
            return "collects garbage";
        case activity::stops_the_interpreter:
            return "stops the interpreter, and waits for calls";
        case activity::asks_for_a_report:
            return "asks for this report";
    }
    return "";
}

/// The owner of the mutex that it waits for; 0 if it is not known to wait for a mutex.
pid_t mutex_owner(thread_seen const& thread) {
    auto const locks_one = [](call_frame const& each) {
        return bare(each.function).starts_with("pthread_mutex_");
    };
    return activity_of(thread) == activity::locks_a_mutex &&
                   std::ranges::any_of(called_by_python(thread.frames), locks_one)
               ? thread.mutex_owner
               : 0;
}

using threads_seen = std::vector<thread_seen>;

thread_seen const* find_thread(threads_seen const& threads, pid_t id) {
    auto const found = std::ranges::find(threads, id, &thread_seen::id);
    return found == threads.end() ? nullptr : &*found;
}

/// The thread, the holder of the mutex that it waits for, and so on, each once.
std::vector<thread_seen const*> chain_of_owners(thread_seen const& first,
                                                threads_seen const& threads) {
    std::vector<thread_seen const*> chain;
    for (auto const* each = &first;
         each != nullptr && std::ranges::find(chain, each) == chain.end();
         each = find_thread(threads, mutex_owner(*each))) {
        chain.push_back(each);
    }
    return chain;
}

/// Whether it waits for a mutex that no thread can unlock before this one gets it.
bool is_deadlocked(thread_seen const& thread, threads_seen const& threads) {
    return mutex_owner(*chain_of_owners(thread, threads).back()) == thread.id;
}

std::string doing(thread_seen const& thread, threads_seen const& threads) {
    std::string text(words_of(activity_of(thread)));
    if (pid_t const owner = mutex_owner(thread); owner == thread.id) {
        text += ", which it has locked itself,";
    } else if (owner != 0) {
        thread_seen const* const known = find_thread(threads, owner);
        text += ", held by ";
        text += known != nullptr ? named(*known) + ","
                                 : "thread " + std::to_string(owner) + ", which has ended,";
    }
    return thread.silent.empty() || thread.spared ? text : text + " (" + thread.silent + ")";
}

/// What to do if the holder of the GIL does that.
std::string_view cure_of(activity does) {
    switch (does) {
        case activity::joins_a_thread:
            return "release the GIL around the join: that thread may need it to end";
        case activity::locks_a_mutex:
            return "lock it by handoff::gil_lock, everywhere; or release the GIL before the mutex "
                   "is locked, and a thread that holds that mutex must not wait for the GIL";
        case activity::waits_for_a_static_initialiser:
            return "make it by handoff::gil_once<T>; or initialise it before the threads start, or "
                   "with the GIL released: the thread that initialises it needs the GIL";
        case activity::collects_garbage:
            return "make collections shorter or fewer: gc.freeze() after the start of the program, "
                   "larger gc.set_threshold(), fewer containers that live long";
        case activity::works:
        case activity::does_not_answer:
            return "release the GIL while it works without Python";
        default:
            return "release the GIL around what it waits in";
    }
}

bool waits_for_a_thread(activity does) {
    return does == activity::joins_a_thread || does == activity::locks_a_mutex ||
           does == activity::waits_for_a_condition || does == activity::waits_for_a_semaphore ||
           does == activity::waits_for_another_thread;
}

/// How a thread can release the GIL.
std::string how_to_release(thread_seen const& thread) {
    auto const frames = called_by_python(thread.frames);
    if (calls_by_pydll(frames) && users_frame(frames) == nullptr) {
        return ": call it through ctypes.CDLL, which does so, in place of ctypes.PyDLL";
    }
    std::string_view const piece = piece_that_releases(frames);
    std::string how(" (");
    how.append(piece).append(piece.empty() ? "" : "; or by hand: ");
    return how.append(guards_that_release(frames)).append(")");
}

/// The part of the report on one thread.
std::string stack_of(thread_seen const& thread, bool is_free_threaded, crash const* died) {
    std::string text("\n");
    text += named(thread);
    if (std::string const id = std::to_string(thread.id); !text.ends_with(" " + id)) {
        text.append(", tid ").append(id);
    }
    if (died != nullptr && died->thread == thread.id) {
        text.append(died->sender ? ", got " : ", died of ").append(died->signal);
    }
    std::string_view const what = thread.stops_the_others ? "until the others detach"
                                  : is_free_threaded      ? "to attach"
                                                          : "for the GIL";
    if (thread.holds_gil) {
        text += is_free_threaded ? ", is attached" : ", holds the GIL";
    } else if (thread.waits && thread.waits->count() > 0) {
        text.append(", has waited ").append(what).append(" for ") += in_seconds(*thread.waits);
    } else if (thread.waits) {
        text.append(", waits ").append(what);
    }
    text.append(thread.silent.empty() ? "" : ": ").append(thread.silent).append("\n");
    if (thread.is_unchanged) {
        return text + "  the stack is unchanged since the last report\n";
    }
    text += stack_lines(thread.frames);
    if (thread.left_out > 0) {
        text += "      " + more_frames(thread.left_out) + "\n";
    }
    return text + thread.python +
           (thread.python.empty() || thread.python.ends_with('\n') ? "" : "\n");
}

/// The place that a stack, and its Python stack, show.
std::string place_in(std::span<call_frame const> frames, std::string const& python_stack) {
    call_frame const* const users = users_frame(frames);
    std::string python = python_place(users_line(python_stack));
    if (users != nullptr) {
        std::string callee;
        if (users != frames.data()) {
            callee = function_in_words(*(users - 1));
        }
        std::string const place =
            callee.empty() ? in_words(*users) : callee + ", called by " + in_words(*users);
        return users->source.empty() && !python.empty() ? place + ", called by " + python : place;
    }
    std::string call;
    if (auto const found = find_call_without_caller(frames)) {
        call = in_words(*found);
    }
    if (!python.empty()) {
        return call.empty() ? python : call + ", called by " + python;
    }
    if (!call.empty()) {
        return call;
    }
    auto const outermost =
        std::ranges::find_if_not(frames.rbegin(), frames.rend(), [](call_frame const& each) {
            // Every thread begins in such a frame; and an inlined function has no whole name.
            return each.whose == code_of::standard || each.function.starts_with("(inlined");
        });
    if (outermost == frames.rend()) {
        return "a place that is not known";
    }
    return outermost->function.empty() ? in_words(*outermost) : outermost->function;
}

/// What to do about a mutex that a thread waits for forever. Empty: as far as is known, it does
/// not.
std::string_view cure_of_mutex(thread_seen const& thread, threads_seen const& threads) {
    pid_t const owner = mutex_owner(thread);
    return owner == 0           ? ""
           : owner == thread.id ? "lock it once: a thread cannot lock a mutex twice, "
                                  "unless it is recursive"
           : find_thread(threads, owner) == nullptr
               ? "unlock it before that thread ends (std::scoped_lock does)"
           : is_deadlocked(thread, threads)
               ? "lock these mutexes in the same order everywhere (std::scoped_lock locks several)"
               : "";
}

/// Whether it waits in a lock.acquire() or `with lock` of the user's: that of a queue or a
/// condition is the standard library's.
bool locks_one_of_python(thread_seen const& thread) {
    return activity_of(thread) == activity::waits_for_a_lock_of_python && !thread.python.empty() &&
           !is_of_the_library(thread.python.substr(0, thread.python.find('\n')));
}

/// If no thread holds the GIL: the threads that Python knows, and those that keep each other
/// waiting.
std::string words_of_all(threads_seen const& threads) {
    auto const main = std::ranges::find_if(threads, &thread_seen::is_main);
    std::string text;
    if (main != threads.end()) {
        text += "; the main thread " + doing(*main, threads) + " in " + place_of(*main);
    }
    bool const is_stopping =
        main != threads.end() && activity_of(*main) == activity::stops_the_interpreter;
    std::string_view cure = main == threads.end() ? "" : cure_of_mutex(*main, threads);
    for (thread_seen const& each : threads) {
        bool const has_users = users_frame(called_by_python(each.frames)) != nullptr;
        bool const is_awaited = std::ranges::any_of(
            threads, [&](thread_seen const& other) { return mutex_owner(other) == each.id; });
        if (!each.is_main && (!each.python.empty() || (is_stopping && has_users) || is_awaited ||
                              mutex_owner(each) != 0)) {
            text += "; " + named(each) + " " + doing(each, threads) + " in " + place_of(each);
            cure = cure.empty() ? cure_of_mutex(each, threads) : cure;
        }
    }
    if (cure.empty() && std::ranges::count_if(threads, &locks_one_of_python) > 1) {
        cure =
            "if each has the lock that the other waits for: take these locks in the same order "
            "everywhere; `python3 -m gilcheck --deadlocks --python-locks` shows the orders";
    }
    return cure.empty() ? text : text.append("\n  do: ").append(cure);
}

/// The hold ended while the report was made, so that its C++ stack is not known.
std::string words_of_ended_hold(thread_seen const& holder, times_seen const& times,
                                std::size_t count, std::chrono::duration<double> longest) {
    std::string text = named(holder) + " held the GIL for " + in_seconds(times.held) +
                       " or longer, and released it while this report was made";
    text += holder.silent.empty() ? "" : " (" + holder.silent + ")";
    std::string const place = python_place(users_line(holder.python));
    text += place.empty() ? "" : "; it was last seen in " + place;
    return text + "; " + std::to_string(count) + (count == 1 ? " thread" : " threads") +
           " waited for it, " + in_seconds(longest);
}

/// The threads that wait for the GIL; without a GIL, to attach, or for the others to detach.
struct waiting_threads {
    std::string named_with_places;
    std::size_t count = 0;
    std::chrono::duration<double> longest{0};

    explicit waiting_threads(threads_seen const& threads) {
        for (thread_seen const& each : threads) {
            if (each.waits) {
                named_with_places.append(count++ == 0 ? ": " : "; ").append(named(each));
                named_with_places.append(each.stops_the_others ? " stops the others in " : " in ");
                named_with_places += place_of(each);
                longest = std::max(longest, *each.waits);
            }
        }
    }
};

/// What to do if that thread, while it holds the GIL, does what it does.
std::string cure_of_hold(thread_seen const& holder, threads_seen const& threads) {
    if (std::string_view const of_mutex = cure_of_mutex(holder, threads); !of_mutex.empty()) {
        return std::string(of_mutex);
    }
    activity const does = activity_of(holder);
    std::string const cure(cure_of(does));
    return does == activity::collects_garbage ? cure : cure + how_to_release(holder);
}

/// Without a GIL: which attached thread keeps which waiting.
std::string words_of_attached(threads_seen const& threads) {
    waiting_threads const waiting(threads);
    if (waiting.count == 0) {
        return "no thread waits for another one to detach" + words_of_all(threads) + "\n";
    }
    // One that collects has stopped the others. One that works may detach soon; one that waits for
    // something else may not.
    auto const find_holder = [&threads](auto const& is_it) {
        return std::ranges::find_if(threads, [&](thread_seen const& each) {
            return each.holds_gil && is_it(activity_of(each));
        });
    };
    auto holder = find_holder([](activity does) { return does == activity::collects_garbage; });
    bool const is_collecting = holder != threads.end();
    if (!is_collecting) {
        holder = find_holder([](activity does) { return does != activity::works; });
    }
    if (holder == threads.end()) {
        holder = std::ranges::find_if(threads, &thread_seen::holds_gil);
    }
    std::string const many =
        std::to_string(waiting.count) + (waiting.count == 1 ? " thread waits" : " threads wait");
    std::string const so_long =
        waiting.longest.count() > 0 ? ", " + in_seconds(waiting.longest) : "";
    if (holder == threads.end()) {
        return "nobody is attached, and " + many + " to attach" + so_long +
               waiting.named_with_places + "\n";
    }
    auto const others = std::ranges::count_if(threads, &thread_seen::holds_gil) - 1;
    std::string text =
        named(*holder) + " is attached and " + doing(*holder, threads) + " in " + place_of(*holder);
    text += others > 0 ? "; " + std::to_string(others) + " more attached" : "";
    text += "; " + many + (is_collecting ? " for its end" : " until it detaches") + so_long +
            waiting.named_with_places;
    return text + "\n  do: " + cure_of_hold(*holder, threads) + "\n";
}

/// Which thread keeps which from the GIL, or from something else.
std::string words_of_waits(threads_seen const& threads, times_seen const& times) {
    auto const holder = std::ranges::find_if(threads, &thread_seen::holds_gil);
    auto const [waiting, count, longest] = waiting_threads(threads);
    std::string text;
    bool const was_held_long = times.held_long >= longest / 2;
    bool const is_handed_over = holder == threads.end() && times.so_long.count() > 0;
    thread_seen const* const held_it =
        is_handed_over && times.held >= longest / 2 ? find_thread(threads, times.held_by) : nullptr;
    if (count > 0 && times.holder_has_ended) {
        text =
            "thread " + std::to_string(times.held_by) +
            " has ended, and did not release the GIL, which nobody can take any more; " +
            std::to_string(count) + (count == 1 ? " thread waits" : " threads wait") + " for it, " +
            in_seconds(longest) + waiting +
            "\n  do: release the GIL on every way out of that thread's function. A guard does so "
            "(handoff::gil_acquire, pybind11::gil_scoped_acquire); each PyGILState_Ensure() "
            "wants a PyGILState_Release()\n";
    } else if (count > 0 && held_it != nullptr) {
        text = words_of_ended_hold(*held_it, times, count, longest) + waiting +
               "\n  do: " + std::string(cure_of(activity::works)) + how_to_release(*held_it) + "\n";
    } else if (count > 0 && (!was_held_long || is_handed_over)) {
        text.append("the GIL changes hands, ").append(std::to_string(count));
        text.append(count == 1 ? " thread or more wants it" : " threads or more want it");
        text.append(", and one has waited for ");
        text.append(in_seconds(longest));
        text.append(was_held_long ? ", through more than one long hold" : "").append(waiting);
        text.append(
            "\n  do: where many threads compute in Python, each waits for all others: use "
            "processes, or release the GIL in what is native");
        text.append(" (").append(guards_that_release({})).append(")\n");
    } else if (holder != threads.end() && activity_of(*holder) != activity::waits_for_the_gil) {
        text = times.python_ends ? "Python is ending; " : "";
        text += named(*holder) + " holds the GIL and " + doing(*holder, threads) + " in " +
                place_of(*holder);
        if (count > 0) {
            text += "; " + std::to_string(count) +
                    (count == 1 ? " thread waits" : " threads wait") + " for it" +
                    (longest.count() > 0 ? ", " + in_seconds(longest) : "");
            text += times.held < longest / 2 ? ", through more than one long hold" : "";
            text += waiting;
        } else if (times.so_long.count() > 0) {
            text += "; nobody waits for it yet, after " + in_seconds(times.so_long);
        } else {
            text += "; nobody waits for it";
        }
        bool const is_idle =
            count == 0 && times.so_long.count() == 0 && activity_of(*holder) == activity::works;
        if (is_idle) {
            text += '\n';
        } else if (cure_of_mutex(*holder, threads).empty() && times.python_ends &&
                   waits_for_a_thread(activity_of(*holder))) {
            text +=
                "\n  do: end that thread before Python ends: in an atexit function, or register it "
                "(handoff::gil_registration), so that it is asked to stop. A thread that wants "
                "the GIL from now on never gets it, and never ends\n";
        } else {
            text += "\n  do: " + cure_of_hold(*holder, threads) + "\n";
        }
    } else {
        text = "nobody holds the GIL" + words_of_all(threads) + "\n";
    }
    return text;
}

/// What a thread did when a signal interrupted it, without the frames of the signal's handler.
std::span<call_frame const> interrupted(std::span<call_frame const> frames) {
    auto const handler = std::ranges::find_if(frames, [](call_frame const& each) {
        return bare(each.function) == "restore_rt" || bare(each.function) == "kernel_rt_sigreturn";
    });
    return handler == frames.end() ? frames : std::span(handler + 1, frames.end());
}

/// Whether the user's function, or else a binding library's, has called Python, or has a function
/// of Python's header compiled into it.
bool calls_python(std::span<call_frame const> frames) {
    auto const caller = std::ranges::find_if(frames, [](call_frame const& each) {
        return each.whose == code_of::user || each.whose == code_of::binding;
    });
    return caller != frames.end() && std::any_of(frames.begin(), caller, [](auto const& each) {
               return each.whose == code_of::python;
           });
}

/// What to do if a thread called Python without the GIL.
std::string cure_of_call(std::span<call_frame const> frames) {
    return drops_shared_ptr_of_python(frames)
               ? "this std::shared_ptr is of a Python object, which its last copy drops: give its "
                 "class_<…> .def(handoff::drop_shared_ptr_anywhere()), or acquire the GIL before "
                 "it is dropped (handoff::gil_acquire, PyGILState_Ensure)"
               : "acquire the GIL before Python is called (" + guards_that_acquire(frames) +
                     "); `python3 -m gilcheck` names each call without it";
}

bool ends_its_thread(call_frame const& each) {
    std::string_view const name = bare(each.function);
    return name.starts_with("pthread_exit") || name.starts_with("PyThread_exit_thread");
}

std::string words_of_crash(threads_seen const& threads, crash const& died) {
    thread_seen const* const thread = find_thread(threads, died.thread);
    std::string text = thread == nullptr ? "thread " + std::to_string(died.thread) : named(*thread);
    text += " died of " + died.signal;
    text += died.address.empty() ? "" : " at address " + died.address;
    if (thread == nullptr) {
        return text + ", and its stack is not known\n";
    }
    auto const frames = interrupted(called_by_python(thread->frames));
    text += " in " + place_in(frames, thread->python);
    auto const holder = std::ranges::find_if(threads, &thread_seen::holds_gil);
    if (thread->holds_gil) {
        text += "; it held the GIL\n";
        return std::ranges::any_of(threads,
                                   [&](thread_seen const& other) {
                                       return other.id != thread->id &&
                                              users_frame(other.frames) != nullptr;
                                   })
                   ? text +
                         "  do: another thread may have damaged what this one reads, by a call "
                         "without the GIL: `python3 -m gilcheck` names each such call\n"
                   : text;
    }
    text += "; it did not hold the GIL, which ";
    text += (holder == threads.end() ? "nobody" : named(*holder)) + " held\n";
    if (std::ranges::any_of(thread->frames, ends_its_thread)) {
        return text.append("  do: Python was ending. ").append(threads_at_pythons_end);
    }
    if (calls_python(frames)) {
        text.append("  do: ").append(cure_of_call(frames)).append("\n");
    }
    return text;
}

std::string words_of_sender(crash const& died) {
    pid_t const sender = died.sender.value_or(0);
    return "it was ended by " + died.signal + " from " +
           (sender == 0 ? "another process" : "process " + std::to_string(sender)) + "; ";
}

}  // namespace

activity activity_of(thread_seen const& thread) {
    if (thread.waits) {
        return activity::waits_for_the_gil;
    }
    if (thread.spared) {
        switch (thread.spared->waits) {
            case uninterrupted_wait::for_a_signal:
                return activity::waits_for_a_signal;
            case uninterrupted_wait::for_a_time:
                return activity::sleeps;
            case uninterrupted_wait::for_input_or_output:
                return activity::waits_for_input_or_output;
        }
    }
    if (!thread.silent.empty()) {
        return activity::does_not_answer;
    }
    auto const frames = called_by_python(thread.frames);
    std::optional<activity> const of_python = first_sign(frames, signs_of_python);
    if (of_python == activity::waits_for_a_lock_of_python) {
        std::string const innermost_line = thread.python.substr(0, thread.python.find('\n'));
        return innermost_line.find("importlib") != std::string::npos ? activity::waits_for_an_import
               : thread.python.find("in join") != std::string::npos
                   ? activity::joins_a_thread_of_python
                   : activity::waits_for_a_lock_of_python;
    }
    if (of_python) {
        return *of_python;
    }
    auto const users = std::ranges::find(frames, code_of::user, &call_frame::whose);
    std::span const called(frames.begin(), users == frames.end() ? users : users + 1);
    if (auto const of_the_system = first_sign(called, signs_of_the_system)) {
        return *of_the_system;
    }
    auto const calls_one_of = [called](std::span<std::string_view const> names) {
        return std::ranges::any_of(called, [names](call_frame const& each) {
            return std::ranges::find(names, bare(each.function)) != names.end();
        });
    };
    return calls_one_of(waits_for_signals)     ? activity::waits_for_a_signal
           : calls_one_of(calls_of_the_system) ? activity::waits_for_input_or_output
                                               : activity::works;
}

std::string place_of(thread_seen const& thread) {
    auto const innermost = called_by_python(thread.frames);
    std::string place = place_in(innermost, thread.python);
    if (!thread.is_main && !thread.python.empty() && users_frame(innermost) == nullptr) {
        // The function that called this Python code may hold a mutex.
        call_frame const* const caller =
            users_frame(std::span(thread.frames).subspan(innermost.size()));
        place += caller == nullptr ? "" : ", called by " + in_words(*caller);
    }
    return place;
}

std::string diagnosis(threads_seen threads, times_seen const& times, crash const* died) {
    for (thread_seen& each : threads) {
        each.another_has_its_name = std::ranges::count(threads, each.name, &thread_seen::name) > 1;
    }
    std::string text = died == nullptr ? ""
                       : died->sender  ? words_of_sender(*died)
                                       : words_of_crash(threads, *died);
    if (died == nullptr || died->sender) {
        text +=
            times.is_free_threaded ? words_of_attached(threads) : words_of_waits(threads, times);
    }
    auto const rank = [&](thread_seen const& thread) {
        return died != nullptr && died->thread == thread.id ? 0
               : thread.holds_gil                           ? 1
               : thread.waits                               ? 2
                                                            : 3;
    };
    for (int const now : {0, 1, 2, 3}) {
        for (thread_seen const& each : threads) {
            if (rank(each) == now) {
                text += stack_of(each, times.is_free_threaded, died);
            }
        }
    }
    return text;
}

}  // namespace handoff::detail
