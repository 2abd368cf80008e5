// lock_order: has the locks watched, and writes findings on a thread of its own.
//
// A finding is made where the code can neither allocate nor wait: in a wrapper, with the program's
// locks held. So it is copied into a queue. A thread that starts with the first finding words and
// writes it. From then on that thread also checks whether threads wait for each other: an order is
// found before it deadlocks for the first time.
#include "lock_order.hpp"

#include "deadlock.hpp"
#include "held_locks.hpp"
#include "lock_calls.hpp"
#include "lock_numbers.hpp"
#include "monotonic_time.hpp"
#include "python_calls.hpp"
#include "report_log.hpp"
#include "tool_thread.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <pthread.h>
#include <semaphore.h>
#include <set>
#include <stdexcept>
#include <thread>

namespace handoff::detail {

namespace {

running_python const* watched = nullptr;
finding_reports reports;

struct finding_queue {
    std::array<lock_finding, 16> findings;
    std::size_t first = 0;
    std::size_t count = 0;
    std::array<std::atomic<bool>, kinds_of_lost_room> lost{};  // including those that were reported
    std::array<std::atomic<bool>, kinds_of_lost_room> lost_to_tell{};
    std::atomic<bool> has_writer = false;
    sem_t filled{};
    std::mutex mutex;
};
finding_queue* queue = nullptr;

/// Threads that neither get a lock nor continue for this long are stuck forever.
constexpr auto long_enough = std::chrono::seconds(1);
constexpr auto between_looks = std::chrono::milliseconds(200);

/// A deadlock that happens: the rules do not leave it out.
void write_happening(lock_finding const& found) {
    std::string const text = text_of(found);
    reports.write(reports.json ? json_of(found) : text);
    std::string apart("\n");  // from what the program has written so far
    write_to_deadlock_log(apart.append(text));
}

void write(lock_finding const& found) {
    if (found.happens) {
        write_happening(found);
        return;
    }
    reports.end([&found] { return facts_of(found); },
                [&found] { return reports.json ? json_of(found) : text_of(found); });
}

bool is_of_the_same_locks(lock_cycle const& one, lock_cycle const& other) {
    auto const numbers = [](lock_cycle const& cycle) {
        std::set<lock_number> all;
        for (std::size_t each = 0; each < cycle.count; ++each) {
            all.insert(cycle.locks.at(each).number);
        }
        return all;
    };
    return numbers(one) == numbers(other);
}

/// Returns: whether threads are stuck that were not before; then `found` describes them.
bool find_deadlock(lock_finding& found) {
    stuck_threads before;
    stuck_threads after;
    if (!find_stuck_threads(before)) {
        return false;
    }
    auto const are_stuck_still = [&] {
        std::this_thread::sleep_for(long_enough);
        return find_stuck_threads(after);
    };
    if (!are_stuck_still()) {
        return false;
    }
    if (before != after) {  // at the first look one of them was only beginning to wait
        before = after;
        if (!are_stuck_still() || before != after) {
            return false;
        }
    }
    note_stuck_threads(after, found);
    ask_where_they_are(found);
    return true;
}

/// A new finding waits this long, so that an order that deadlocks is reported once, as a deadlock.
void write_deadlock(lock_finding& written) {
    written = {};
    if (find_deadlock(written) && reports.begin()) {
        write_happening(written);
    }
}

void write_next(lock_finding const& happened) {
    static auto& next = *new lock_finding();
    {
        std::scoped_lock const held(queue->mutex);
        if (queue->count == 0) {
            return;
        }
        next = queue->findings.at(queue->first);
    }
    if (happened.happens && is_of_the_same_locks(next.cycle, happened.cycle)) {
        reports.leave_out();
    } else {
        write(next);
    }
    std::scoped_lock const held(queue->mutex);
    queue->first = (queue->first + 1) % queue->findings.size();
    --queue->count;
}

void write_losses() {
    for (std::size_t each = 0; each < kinds_of_lost_room; ++each) {
        if (queue->lost_to_tell.at(each).exchange(false)) {
            auto const what = static_cast<lost_room>(each);
            reports.note(reports.json ? json_of(what) : text_of(what));
        }
    }
}

void* write_findings(void* /*unused*/) {
    auto const happened = std::make_unique<lock_finding>();
    for (;;) {
        timespec const until = monotonic_timespec(std::chrono::steady_clock::now() + between_looks);
        sem_clockwait(&queue->filled, CLOCK_MONOTONIC, &until);
        write_deadlock(*happened);
        write_losses();
        write_next(*happened);
    }
    return nullptr;
}

/// Not to be called with the mutex, because starting a thread allocates.
void wake_writer() {
    sem_post(&queue->filled);
    if (!queue->has_writer.exchange(true)) {
        queue->has_writer = begin_lasting_tool_thread(&write_findings, "gilcheck");
    }
}

void on_loss(lost_room what) {
    auto const which = static_cast<std::size_t>(what);
    if (!queue->lost.at(which).load(std::memory_order_relaxed) &&
        !queue->lost.at(which).exchange(true) && reports.begin()) {
        queue->lost_to_tell.at(which) = true;
        wake_writer();
    }
}

void on_finding(lock_finding const& found) {
    if (!is_new_finding(found)) {
        return;
    }
    bool has_room = false;
    {
        std::scoped_lock const held(queue->mutex);
        has_room = queue->count < queue->findings.size();
        if (has_room) {
            if (!reports.begin()) {
                return;
            }
            queue->findings.at((queue->first + queue->count) % queue->findings.size()) = found;
            ++queue->count;
        }
    }
    if (has_room) {
        wake_writer();
    } else {
        on_loss(lost_room::findings);
    }
}

}  // namespace

void start_lock_order(running_python const& python, finding_reports const& wanted) {
    if (!locks_can_be_marked()) {
        throw std::runtime_error(
            "gilcheck cannot watch locks here: this C library uses the bytes "
            "of a mutex in which glibc 2.31 to 2.42 have room");
    }
    reports = wanted;
    watched = &python;
    queue = new finding_queue();
    sem_init(&queue->filled, 0, 0);
    prepare_python_calls(python);
    watch_locks(python, {.finds = &on_finding, .loses = &on_loss});
    pthread_atfork(nullptr, nullptr, [] {  // as in held_locks: another thread may have held it
        new (&queue->mutex) std::mutex();
        queue->count = 0;  // the parent writes them
        for (auto& each : queue->lost_to_tell) {
            each = false;
        }
        queue->has_writer = false;
        sem_init(&queue->filled, 0, 0);
    });
    watch_locks_of_what_is_loaded();
}

void watch_locks_of_what_is_loaded() {
    if (watched != nullptr) {
        watch_lock_calls(watched->object, reports.finish);
    }
}

void look_at_call_with_locks(char const* name, void* const* arguments) noexcept {
    note_attachment();
    if (runs_python_code(name, arguments)) {
        note_call_of_python();
    }
}

void look_at_attachment() noexcept { note_attachment(); }

}  // namespace handoff::detail
