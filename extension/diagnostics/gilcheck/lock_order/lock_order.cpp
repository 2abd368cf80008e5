// lock_order: has the locks watched, and findings written by a thread of its own.
//
// A finding is made where nothing may be allocated and nobody may be waited for: in a wrapper, with
// the program's locks held. It is copied into a queue, and a thread that is begun for the first one
// words and writes it.
#include "lock_order.hpp"

#include "deadlock.hpp"
#include "held_locks.hpp"
#include "lock_calls.hpp"
#include "lock_numbers.hpp"
#include "python_calls.hpp"
#include "tool_thread.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>
#include <pthread.h>
#include <semaphore.h>
#include <stdexcept>
#include <string>

namespace handoff::detail {

namespace {

running_python const* watched = nullptr;
finding_reports reports;

struct finding_queue {
    std::array<lock_finding, 16> findings;
    std::size_t first = 0;
    std::size_t count = 0;
    std::atomic<bool> has_writer = false;
    sem_t filled{};
    std::mutex mutex;
};
finding_queue* queue = nullptr;

void write_next() {
    static auto& next = *new lock_finding();
    {
        std::scoped_lock const held(queue->mutex);
        next = queue->findings.at(queue->first);
    }
    reports.end([] { return facts_of(next); },
                [] { return reports.json ? json_of(next) : text_of(next); });
    std::scoped_lock const held(queue->mutex);
    queue->first = (queue->first + 1) % queue->findings.size();
    --queue->count;
}

void* write_findings(void* /*unused*/) {
    for (;;) {
        while (sem_wait(&queue->filled) != 0) {
        }
        write_next();
    }
    return nullptr;
}

void on_finding(lock_finding const& found) {
    if (!is_new_finding(found)) {
        return;
    }
    {
        std::scoped_lock const held(queue->mutex);
        if (queue->count == queue->findings.size() || !reports.begin()) {
            return;
        }
        queue->findings.at((queue->first + queue->count) % queue->findings.size()) = found;
        ++queue->count;
    }
    sem_post(&queue->filled);
    // Outside of the mutex, as a thread's beginning allocates.
    if (!queue->has_writer.exchange(true)) {
        queue->has_writer = begin_lasting_tool_thread(&write_findings, "gilcheck");
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
    watch_locks(python, &on_finding);
    pthread_atfork(nullptr, nullptr, [] {  // as held_locks: another thread may have held it
        new (&queue->mutex) std::mutex();
        queue->count = 0;  // the parent writes them
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
    if (runs_python_code(name, arguments)) {
        note_call_of_python();
    }
}

}  // namespace handoff::detail
