// holder_stacks: the thread, its questions, and what passes between it and the GIL's events.
#include "holder_stacks.hpp"

#include "gil_events.hpp"
#include "pushed.hpp"
#include "sleeping_stack.hpp"
#include "standard_error.hpp"
#include "thread_stacks.hpp"
#include "tick_clock.hpp"
#include "tool_thread.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <execinfo.h>
#include <mutex>
#include <new>
#include <pthread.h>
#include <semaphore.h>
#include <span>
#include <utility>
#include <vector>

namespace handoff::detail::holder_stacks {

namespace {

struct located : sighting {
    located* before = nullptr;
};

/// Only the instructions: their places must be asked of the loader, for which no event may wait.
struct own_stack {
    std::uint64_t when = 0;
    int count = 0;
    std::array<void*, 100> frames{};
    own_stack* before = nullptr;
};

constinit pushed<located> ready{};
constinit pushed<own_stack> noted{};

std::atomic<bool> attention = false;  // see are_waiting()
std::atomic<std::uint64_t> hold = 0;  // counts them
std::atomic<std::uint64_t> wanted = 0;     // the hold to be looked at, and ...
std::atomic<pid_t> wanted_of = 0;          // ... its holder
std::atomic<std::uint64_t> wanted_at_drop = 0;  // the hold whose holder should record its own stack

using work = void (*)();
std::atomic<work> wanted_work = nullptr;
std::atomic<bool> is_working = false;

/// Guards the thread's life.
constinit std::mutex life;
constinit pthread_t watching{};
constinit bool is_joinable = false;
std::atomic<bool> is_running = false;
std::atomic<bool> is_to_end = false;
sem_t wake_up;

bool holds_gil() noexcept { return handoff_gil_held; }

void tell(std::unique_ptr<located> seen_so) {
    ready.push(std::move(seen_so));
    attention = true;
}

/// A return address belongs to the next instruction, which may be another function's.
std::vector<code_place> places_of(std::span<void* const> frames) {
    std::vector<code_place> places;
    for (void const* const frame : frames) {
        bool const interrupted_there = places.empty();
        places.push_back(place_of(static_cast<char const*>(frame) - (interrupted_there ? 0 : 1)));
        if (places.back().exported.starts_with("_PyEval_EvalFrame")) {
            break;
        }
    }
    return places;
}

void look(stack_signal const& asking) {
    std::uint64_t const which = wanted.exchange(0);
    if (which == 0 || which != hold) {
        return;
    }
    pid_t const holder = wanted_of;
    auto seen_so = std::make_unique<located>();
    thread_stack const answer = asking.ask_thread(holder, [](pid_t) { return true; });
    seen_so->when = tick_clock::now();
    if (which != hold || (answer.silent.empty() && !answer.holds_gil)) {
        return;  // the hold is over
    }
    std::vector<void*> frames = answer.frames;
    if (answer.spared) {
        frames = sleeping_stack(holder);
        if (which != hold) {
            return;
        }
    }
    if (frames.empty()) {
        seen_so->unknown = answer.silent;
        if (answer.spared) {
            wanted_at_drop = which;
        }
    }
    seen_so->places = places_of(frames);
    tell(std::move(seen_so));
}

void locate(own_stack const& own) {
    auto seen_so = std::make_unique<located>();
    seen_so->when = own.when;
    seen_so->places = places_of(std::span(own.frames).first(static_cast<std::size_t>(own.count)));
    tell(std::move(seen_so));
}

void* work_off(void* /*none*/) {
    do {
        while (work const now = wanted_work.exchange(nullptr)) {
            now();
        }
        is_working = false;
    } while (wanted_work != nullptr && !is_working.exchange(true));
    return nullptr;
}

/// On a thread of its own: it may take long, and stacks are wanted meanwhile.
void begin_work() noexcept {
    if (wanted_work != nullptr && !is_working.exchange(true) &&
        !begin_lasting_tool_thread(&work_off, "giltrace")) {
        work_off(nullptr);
    }
}

void watch() {
    stack_signal const asking(&holds_gil);
    while (!is_to_end) {
        look(asking);
        begin_work();
        for (auto const& each : noted.take()) {
            locate(*each);
        }
        while (sem_wait(&wake_up) != 0 && errno == EINTR) {
        }
    }
    for (auto const& each : noted.take()) {
        locate(*each);
    }
}

void* run(void* /*none*/) {
    try {
        watch();
    } catch (std::exception const& failure) {
        write_stderr(std::string("giltrace: takes no more stacks of who holds the GIL: ") +
                     failure.what() + "\n");
    }
    is_running = false;
    return nullptr;
}

/// Does nothing if it runs. Waits for no other thread.
void begin_thread() noexcept {
    std::unique_lock const held(life, std::try_to_lock);
    if (!held || is_running || is_to_end) {
        return;
    }
    if (std::exchange(is_joinable, false)) {
        pthread_join(watching, nullptr);  // it has ended
    }
    is_running = true;
    is_joinable = begin_tool_thread(watching, &run, "giltrace");
    if (!is_joinable) {
        is_running = false;
    }
}

/// Waits a moment for it. It may be waiting for the loader, and the loader for the thread that
/// waits here; then it is left alone. REQUIRES: life is locked.
void end_thread() noexcept {
    static constexpr std::chrono::milliseconds patience{200};
    if (is_joinable) {
        is_to_end = true;
        sem_post(&wake_up);
        is_joinable = !is_joined_within(watching, patience);
        is_to_end = false;
    }
}

/// A child has only the thread that forked, and nothing of what was seen.
void begin_anew_in_child() {
    static_cast<void>(ready.take());
    static_cast<void>(noted.take());
    attention = false;
    wanted = 0;
    wanted_at_drop = 0;
    is_running = false;
    is_working = false;
    is_joinable = false;
    sem_init(&wake_up, 0, 0);
    life.unlock();
}

}  // namespace

void prepare() {
    static constinit bool is_prepared = false;  // guarded by the GIL
    if (!std::exchange(is_prepared, true)) {
        sem_init(&wake_up, 0, 0);
        // Since Python 3.12 os.fork() warns if the process has several threads.
        pthread_atfork(
            [] {
                life.lock();
                end_thread();
            },
            [] { life.unlock(); }, &begin_anew_in_child);
    }
}

void begin() noexcept { begin_thread(); }

void finish() noexcept {
    std::scoped_lock const held(life);
    end_thread();
    wanted = 0;
    wanted_at_drop = 0;
}

void next_hold() noexcept {
    hold.store(hold.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void look_at(pid_t holder) noexcept {
    wanted_of = holder;
    wanted = hold.load(std::memory_order_relaxed);
    if (!is_running) {
        begin_thread();
    }
    sem_post(&wake_up);
}

void want(work wanted_so) noexcept {
    wanted_work = wanted_so;
    attention = true;
    int const saved = errno;
    sem_post(&wake_up);
    errno = saved;
}

bool are_waiting() noexcept { return attention.load(std::memory_order_relaxed); }

void note_own_stack() noexcept {
    if (wanted_at_drop.exchange(0) != hold.load(std::memory_order_relaxed)) {
        return;
    }
    auto own = std::unique_ptr<own_stack>(new (std::nothrow) own_stack);
    if (own == nullptr) {
        return;
    }
    own->when = tick_clock::now();
    own->count = backtrace(own->frames.data(), static_cast<int>(own->frames.size()));
    noted.push(std::move(own));
    sem_post(&wake_up);
}

std::vector<std::unique_ptr<sighting>> seen() {
    std::uint64_t const at_drop = wanted_at_drop;
    attention = at_drop != 0 && at_drop == hold.load(std::memory_order_relaxed);
    if (wanted_work != nullptr && !is_running) {
        begin_thread();
    }
    std::vector<std::unique_ptr<sighting>> all;
    for (auto& each : ready.take()) {
        all.push_back(std::make_unique<sighting>(std::move(*each)));
    }
    return all;
}

}  // namespace handoff::detail::holder_stacks
