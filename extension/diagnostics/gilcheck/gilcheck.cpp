// gilcheck: what is checked, since when, and whether a call was a violation after all.
#include "checked_calls.hpp"
#include "gil_events.hpp"
#include "one_at_a_time.hpp"
#include "python_stacks.hpp"
#include "running_python.hpp"
#include "violation.hpp"
#include <handoff/gilcheck.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <unordered_set>
#include <utility>

namespace handoff::gilcheck {

using namespace detail;

/// Which copy of this code checks. Visible, so that all copies in a process see it.
// NOLINTBEGIN(misc-use-internal-linkage): one for all modules of the process
[[gnu::visibility("default")]] inline constinit std::atomic<void const*> checker_of_process =
    nullptr;
// NOLINTEND(misc-use-internal-linkage)

namespace {

settings how;
running_python const* python = nullptr;
std::atomic<bool> was_initialized = false;
std::atomic<unsigned> reports = 0;
std::atomic<unsigned> unfinished = 0;  // of them, those being made
thread_local bool reporting = false;

/// Guards what was checked and reported.
std::mutex& guard() {
    static auto& only = *new std::mutex();
    return only;
}

/// Whether a subinterpreter's GIL is held, whose events nobody listens to.
bool is_attached() {
    return python->current_state != nullptr && python->current_state() != nullptr;
}

bool is_first_from(void const* place) {
    static auto& known = *new std::unordered_set<void const*>();
    std::scoped_lock const held(guard());
    return known.insert(place).second && (how.then != reaction::once || known.size() == 1);
}

/// Python is not there yet.
bool may_be_ignored() {
    return python->is_initialized() == 0 && !was_initialized.load(std::memory_order_relaxed);
}

void on_call_without_gil(checked_call const& call, void* return_address) {
    if (reporting || is_attached() || may_be_ignored()) {
        return;
    }
    reporting = true;
    if (is_first_from(return_address)) {
        ++unfinished;
        ++reports;
        violation const found =
            violation::here(call.name, return_address, python->is_initialized() != 0);
        std::string const text = how.json ? found.json() : found.text();
        std::fflush(stdout);
        std::fwrite(text.data(), 1, text.size(), stderr);
        std::fflush(stderr);
        if (how.then == reaction::abort) {
            std::abort();
        }
        --unfinished;
        unfinished.notify_all();
    }
    reporting = false;
}

/// That the process does not end before a report is made, nor as if nothing had been found.
void exit_after_reports(int code, void* /*unused*/) {
    for (unsigned now = unfinished; now > 0 && !reporting; now = unfinished) {
        unfinished.wait(now);
    }
    if (code == 0 && reports > 0) {
        std::fflush(nullptr);
        _exit(exit_code);
    }
}

[[noreturn]] void refuse(std::string const& why) {
    throw std::runtime_error("gilcheck cannot check this Python: " + why);
}

/// Returns whether there is one yet.
bool find_python() {
    try {
        python = running_python::find();
    } catch (std::runtime_error const& wrong) {
        refuse(wrong.what());
    }
    return python != nullptr;
}

void on_take() noexcept {
    was_initialized.store(true, std::memory_order_relaxed);
    note_held();
}

constinit gil_listener const listener{.takes = &on_take};

void begin_checking() {
    bool const held = python->is_initialized() != 0;
    was_initialized = held;
    try {
        listen_to_gil(*python, listener);
    } catch (std::runtime_error const& wrong) {
        refuse(wrong.what());
    }
    prepare_violations(python->object);
    if (held) {
        note_held();
        ask_for_python_stacks(held);
    }
    on_violation.store(&on_call_without_gil, std::memory_order_release);
    pthread_atfork([] { guard().lock(); }, [] { guard().unlock(); },
                   [] {
                       guard().unlock();
                       unfinished = 0;  // who makes them is not in the child
                   });
    on_exit(&exit_after_reports, nullptr);
}

void check_what_is_loaded() {
    static unsigned long long seen = 0;
    bool is_new = false;
    {
        std::scoped_lock const held(guard());
        unsigned long long const now = loads_so_far();
        if (now == std::exchange(seen, now)) {
            return;
        }
        is_new = python == nullptr && find_python();
        if (is_new) {
            begin_checking();
        }
        check_calls_into(python != nullptr ? &python->object : nullptr);
        if (python != nullptr && python->is_initialized() != 0) {
            ask_for_python_stacks(false);
        }
    }
    if (is_new) {
        python->keep_loaded();
    }
}

constinit one_at_a_time::process starts{0};  // start() lets go of the GIL

/// The checker in the host and the one in the library are copies of each other: where the first
/// checks, the second would take its redirected calls for the program's.
bool is_the_only_checker() noexcept {
    static constinit char own = 0;
    void const* first = nullptr;
    return checker_of_process.compare_exchange_strong(first, &own) || first == &own;
}

}  // namespace

settings settings_from(std::string_view text) {
    settings read;
    bool reacts = false;
    std::string_view rest = text;
    while (!rest.empty()) {
        auto const comma = std::min(rest.find(','), rest.size());
        std::string_view const word = rest.substr(0, comma);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        bool const is_json = word == "json" && !std::exchange(read.json, true);
        bool const is_reaction =
            (word == "abort" || word == "warn" || word == "once") && !std::exchange(reacts, true);
        if (!is_json && !is_reaction) {
            throw std::invalid_argument(
                "gilcheck's settings are abort, warn or once, and json after a comma for JSON "
                "(warn,json), not '" +
                std::string(text) + "'");
        }
        if (is_reaction) {
            read.then = word == "abort"  ? reaction::abort
                        : word == "once" ? reaction::once
                                         : reaction::warn;
        }
    }
    return read;
}

void start(settings const& wanted) {
    if (!is_the_only_checker()) {
        return;
    }
    one_at_a_time const this_start(starts,
                                   "another thread starts gilcheck just now: once is enough");
    how = wanted;
    if (on_violation.load(std::memory_order_acquire) != nullptr) {
        return;  // it checks already
    }
    try {
        if (!find_python()) {
            refuse("there is none in this process, or its symbols are hidden");
        }
        python->keep_loaded();
        begin_checking();
        watch_for_loads(&check_what_is_loaded);
        check_what_is_loaded();
    } catch (...) {
        checker_of_process = nullptr;
        throw;
    }
}

void start_with_python(settings const& wanted) {
    if (!is_the_only_checker()) {
        return;
    }
    how = wanted;
    watch_for_loads(&check_what_is_loaded);
    check_what_is_loaded();
}

}  // namespace handoff::gilcheck
