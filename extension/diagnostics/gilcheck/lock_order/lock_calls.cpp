// lock_calls: the wrappers that are called instead of the functions, and then call these.
//
// None is noexcept: the cancellation of a thread unwinds through the wrappers that wait.
#include "lock_calls.hpp"

#include "held_locks.hpp"
#include "lock_numbers.hpp"
#include "monotonic_time.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <pthread.h>
#include <semaphore.h>
#include <span>
#include <string_view>
#include <utility>

namespace handoff::detail {

namespace {

// The wrapper's caller.
#define HANDOFF_CALLER __builtin_return_address(0), __builtin_frame_address(0)

/// A lock of one of the kinds, while a thread takes it.
struct taken_lock {
    thread_locks* thread;  // null: nothing is watched
    lock_number number;

    taken_lock(thread_locks* asking, lock_number wanted) noexcept
        : thread(wanted == 0 ? nullptr : asking), number(wanted) {}

    void wanted(bool is_shared = false) const noexcept {
        if (thread != nullptr) {
            thread->wants(number, is_shared);
        }
    }
    void not_taken() const noexcept {
        if (thread != nullptr) {
            thread->goes_without();
        }
    }
    int result(int code, void const* caller, void const* frame,
               bool is_shared = false) const noexcept {
        if (thread != nullptr && (code == 0 || code == EOWNERDEAD)) {
            thread->has(number, is_shared, caller, frame);
        } else {
            not_taken();
        }
        return code;
    }
};

template <class Lock>
taken_lock taking(Lock* lock) noexcept {
    thread_locks* const thread = thread_locks::current();
    return {thread, thread != nullptr ? number_of(lock) : 0};
}

taken_lock taking(lock_kind kind, void const* lock) noexcept {
    thread_locks* const thread = thread_locks::current();
    return {thread, thread != nullptr ? number_of(kind, lock) : 0};
}

template <class Lock>
void given_back(Lock* lock) noexcept {
    if (thread_locks* const thread = thread_locks::current()) {
        if (lock_number const number = known_number_of(lock);
            number != 0 && !thread->gives(number)) {
            note_given_back(number, false);
        }
    }
}

int lock_mutex(pthread_mutex_t* mutex) {
    taken_lock const taken = taking(mutex);
    taken.wanted();
    return taken.result(pthread_mutex_lock(mutex), HANDOFF_CALLER);
}

int try_mutex(pthread_mutex_t* mutex) {
    return taking(mutex).result(pthread_mutex_trylock(mutex), HANDOFF_CALLER);
}

int timed_mutex(pthread_mutex_t* mutex, timespec const* until) {
    return taking(mutex).result(pthread_mutex_timedlock(mutex, until), HANDOFF_CALLER);
}

int clock_mutex(pthread_mutex_t* mutex, clockid_t clock, timespec const* until) {
    return taking(mutex).result(pthread_mutex_clocklock(mutex, clock, until), HANDOFF_CALLER);
}

int unlock_mutex(pthread_mutex_t* mutex) {
    given_back(mutex);
    return pthread_mutex_unlock(mutex);
}

/// A thread may still hold it: that is an error of the program's, not an order.
int destroy_mutex(pthread_mutex_t* mutex) {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives_all(known_number_of(mutex));
        forget(mutex);
    }
    return pthread_mutex_destroy(mutex);
}

int read_lock(pthread_rwlock_t* lock) {
    taken_lock const taken = taking(lock);
    taken.wanted(true);
    return taken.result(pthread_rwlock_rdlock(lock), HANDOFF_CALLER, true);
}

int write_lock(pthread_rwlock_t* lock) {
    taken_lock const taken = taking(lock);
    taken.wanted();
    return taken.result(pthread_rwlock_wrlock(lock), HANDOFF_CALLER);
}

int try_read_lock(pthread_rwlock_t* lock) {
    return taking(lock).result(pthread_rwlock_tryrdlock(lock), HANDOFF_CALLER, true);
}

int try_write_lock(pthread_rwlock_t* lock) {
    return taking(lock).result(pthread_rwlock_trywrlock(lock), HANDOFF_CALLER);
}

int timed_read_lock(pthread_rwlock_t* lock, timespec const* until) {
    return taking(lock).result(pthread_rwlock_timedrdlock(lock, until), HANDOFF_CALLER, true);
}

int timed_write_lock(pthread_rwlock_t* lock, timespec const* until) {
    return taking(lock).result(pthread_rwlock_timedwrlock(lock, until), HANDOFF_CALLER);
}

int clock_read_lock(pthread_rwlock_t* lock, clockid_t clock, timespec const* until) {
    return taking(lock).result(pthread_rwlock_clockrdlock(lock, clock, until), HANDOFF_CALLER,
                               true);
}

int clock_write_lock(pthread_rwlock_t* lock, clockid_t clock, timespec const* until) {
    return taking(lock).result(pthread_rwlock_clockwrlock(lock, clock, until), HANDOFF_CALLER);
}

int unlock_read_or_write(pthread_rwlock_t* lock) {
    given_back(lock);
    return pthread_rwlock_unlock(lock);
}

int destroy_read_or_write(pthread_rwlock_t* lock) {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives_all(known_number_of(lock));
        forget(lock);
    }
    return pthread_rwlock_destroy(lock);
}

// Declared as in C's headers; const and volatile are the caller's.
int spin(pthread_spinlock_t* lock) {
    taken_lock const taken = taking(lock_kind::spin_lock, const_cast<int const*>(lock));
    taken.wanted();
    return taken.result(pthread_spin_lock(lock), HANDOFF_CALLER);
}

int try_spin(pthread_spinlock_t* lock) {
    return taking(lock_kind::spin_lock, const_cast<int const*>(lock))
        .result(pthread_spin_trylock(lock), HANDOFF_CALLER);
}

int unlock_spin(pthread_spinlock_t* lock) {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives(known_number_of(lock_kind::spin_lock, const_cast<int const*>(lock)));
    }
    return pthread_spin_unlock(lock);
}

int init_spin(pthread_spinlock_t* lock, int shared) {
    forget(lock_kind::spin_lock, const_cast<int const*>(lock));
    return pthread_spin_init(lock, shared);
}

int destroy_spin(pthread_spinlock_t* lock) {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives_all(known_number_of(lock_kind::spin_lock, const_cast<int const*>(lock)));
        forget(lock_kind::spin_lock, const_cast<int const*>(lock));
    }
    return pthread_spin_destroy(lock);
}

/// A thread waits for a condition: the mutex is not held, and is wanted again at the end, even if
/// the thread is cancelled.
class mutex_given_up {
public:
    mutex_given_up(pthread_cond_t* condition, pthread_mutex_t* mutex, bool for_ever,
                   void const* caller, void const* frame) noexcept
        : thread_(thread_locks::current()), condition_(condition), caller_(caller), frame_(frame) {
        if (thread_ == nullptr) {
            return;
        }
        number_ = known_number_of(mutex);
        depth_ = number_ == 0 ? 0 : thread_->gives_all(number_);
        if (depth_ > 0) {
            thread_->waits_elsewhere(true);
            thread_->wants(number_, false);
        }
        waits_with_gil_ = for_ever && thread_->holds_gil();
        if (waits_with_gil_) {
            thread_->begins_to_wait(condition);
        }
    }
    ~mutex_given_up() {
        if (waits_with_gil_) {
            thread_->has_waited(condition_);
        }
        for (std::uint32_t each = 0; each < depth_; ++each) {
            thread_->has(number_, false, caller_, frame_);
        }
        if (depth_ > 0) {
            thread_->waits_elsewhere(false);
        }
    }
    mutex_given_up(mutex_given_up const&) = delete;
    mutex_given_up& operator=(mutex_given_up const&) = delete;

private:
    thread_locks* thread_;
    pthread_cond_t* condition_;
    void const* caller_;
    void const* frame_;
    lock_number number_ = 0;
    std::uint32_t depth_ = 0;
    bool waits_with_gil_ = false;
};

int wait_for_condition(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    mutex_given_up const while_waiting(condition, mutex, true, HANDOFF_CALLER);
    return pthread_cond_wait(condition, mutex);
}

int timed_wait_for_condition(pthread_cond_t* condition, pthread_mutex_t* mutex,
                             timespec const* until) {
    mutex_given_up const while_waiting(condition, mutex, false, HANDOFF_CALLER);
    return pthread_cond_timedwait(condition, mutex, until);
}

int clock_wait_for_condition(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                             timespec const* until) {
    mutex_given_up const while_waiting(condition, mutex, false, HANDOFF_CALLER);
    return pthread_cond_clockwait(condition, mutex, clock, until);
}

int signal_condition(pthread_cond_t* condition) {
    thread_locks::signals(condition);
    return pthread_cond_signal(condition);
}

int broadcast_condition(pthread_cond_t* condition) {
    thread_locks::signals(condition);
    return pthread_cond_broadcast(condition);
}

/// A joined thread that runs, and ends by itself within this time, needs no GIL any more: it may
/// have said that its work is done. One that sleeps has not begun to end. It is looked at after a
/// first moment, after twice as long, and so on: it may have been about to sleep.
constexpr long first_moment = 100'000;  // nanoseconds
constexpr long last_moment = 5'000'000;

/// Even if the thread is cancelled.
class end_of_join {
public:
    explicit end_of_join(thread_locks* joining) noexcept : joining_(joining) {}
    ~end_of_join() { joining_->has_joined(); }
    end_of_join(end_of_join const&) = delete;
    end_of_join& operator=(end_of_join const&) = delete;

private:
    thread_locks* joining_;
};

int join(pthread_t thread, void** result) {
    thread_locks* const joining = thread_locks::current();
    if (joining == nullptr || !joining->holds_gil()) {
        return pthread_join(thread, result);
    }
    if (int const ended = pthread_tryjoin_np(thread, result); ended != EBUSY) {
        return ended;
    }
    joining->begins_to_join(thread);
    end_of_join const at_return(joining);
    for (long moment = first_moment; moment < last_moment && !joining->joins_a_sleeper();
         moment *= 2) {
        timespec const until =
            monotonic_timespec(std::chrono::steady_clock::now() + std::chrono::nanoseconds(moment));
        if (int const ended = pthread_clockjoin_np(thread, result, CLOCK_MONOTONIC, &until);
            ended != ETIMEDOUT) {
            return ended;
        }
    }
    joining->still_joins();
    return pthread_join(thread, result);
}

/// The lock under which a routine runs, alone; released even if the routine throws.
class held_while_running {
public:
    held_while_running(lock_kind kind, void const* lock, void const* caller,
                       void const* frame) noexcept
        : taken_(taking(kind, lock)) {
        taken_.result(0, caller, frame);
    }
    ~held_while_running() {
        if (taken_.thread != nullptr) {
            taken_.thread->gives(taken_.number);
        }
    }
    held_while_running(held_while_running const&) = delete;
    held_while_running& operator=(held_while_running const&) = delete;

private:
    taken_lock taken_;
};

/// A call of pthread_once(), which passes no argument to the routine.
class once_call {
public:
    once_call(pthread_once_t* flag_called, void (*routine_called)(), void const* called_from,
              void const* its_frame) noexcept
        : flag(flag_called),
          routine(routine_called),
          caller(called_from),
          frame(its_frame),
          before_(std::exchange(innermost, this)) {}
    ~once_call() { innermost = before_; }
    once_call(once_call const&) = delete;
    once_call& operator=(once_call const&) = delete;

    pthread_once_t* const flag;
    void (*const routine)();
    void const* const caller;
    void const* const frame;

    [[gnu::tls_model("initial-exec")]] static constinit thread_local once_call const* innermost;

private:
    once_call const* before_;
};
constinit thread_local once_call const* once_call::innermost = nullptr;

void run_once() {
    once_call const& call = *once_call::innermost;
    {
        held_while_running const held(lock_kind::once_flag, call.flag, call.caller, call.frame);
        call.routine();
    }
    note_initialised(known_number_of(lock_kind::once_flag, call.flag));
}

int once(pthread_once_t* flag, void (*routine)()) {
    constexpr int is_done = 2;  // glibc's nptl/pthread_once.c
    int const state = std::atomic_ref(*flag).load(std::memory_order_acquire);
    if (state == 0) {  // if the flag was done before, this is another flag at the same address
        forget_if_initialised(lock_kind::once_flag, flag);
    }
    taken_lock const taken = taking(lock_kind::once_flag, flag);
    taken.wanted();  // it would have waited if it had come earlier
    int result = 0;
    if (state != is_done) {
        once_call const call(flag, routine, HANDOFF_CALLER);
        result = pthread_once(flag, &run_once);
    }
    taken.not_taken();
    return result;
}

// The guards of static objects. Source: the Itanium C++ ABI, 3.3.3.
int (*next_guard_acquire)(std::int64_t*) = nullptr;
void (*next_guard_release)(std::int64_t*) = nullptr;
void (*next_guard_abort)(std::int64_t*) = nullptr;

int acquire_guard(std::int64_t* guard) {
    taken_lock const taken = taking(lock_kind::static_guard, guard);
    taken.wanted();
    int const is_to_be_made = next_guard_acquire(guard);
    if (is_to_be_made != 0) {
        taken.result(0, HANDOFF_CALLER);
    } else {
        taken.not_taken();
    }
    return is_to_be_made;
}

void give_guard_back(std::int64_t const* guard) noexcept {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives(known_number_of(lock_kind::static_guard, guard));
    }
}

void release_guard(std::int64_t* guard) {
    give_guard_back(guard);
    next_guard_release(guard);
}

void abort_guard(std::int64_t* guard) {
    give_guard_back(guard);
    next_guard_abort(guard);
}

/// If the count is more than one, several threads may pass: a waiter waits for no single thread.
taken_lock taking_semaphore(sem_t* semaphore) noexcept {
    thread_locks* const thread = thread_locks::current();
    if (thread == nullptr) {
        return {nullptr, 0};
    }
    if (lock_number const known = known_number_of(lock_kind::semaphore, semaphore); known != 0) {
        return {thread, known};
    }
    lock_number const number = number_of(lock_kind::semaphore, semaphore);
    int count = 0;
    if (number != 0 && sem_getvalue(semaphore, &count) == 0 && count > 1) {
        note_given_back(number, false);
    }
    return {thread, number};
}

/// A semaphore is a lock if the waiting thread posts it, and an event if another thread does.
class semaphore_wait {
public:
    explicit semaphore_wait(sem_t* semaphore, bool for_ever) noexcept
        : taken_(taking_semaphore(semaphore)), semaphore_(semaphore) {
        taken_.wanted();
        waits_with_gil_ = for_ever && taken_.thread != nullptr && taken_.thread->holds_gil();
        if (waits_with_gil_) {
            taken_.thread->begins_to_wait(semaphore);
        }
    }
    ~semaphore_wait() {
        if (waits_with_gil_) {
            taken_.thread->has_waited(semaphore_);
        }
    }
    semaphore_wait(semaphore_wait const&) = delete;
    semaphore_wait& operator=(semaphore_wait const&) = delete;

    int result(int code, void const* caller, void const* frame) const noexcept {
        return taken_.result(code, caller, frame);
    }

private:
    taken_lock taken_;
    sem_t* semaphore_;
    bool waits_with_gil_ = false;
};

int wait_for_semaphore(sem_t* semaphore) {
    semaphore_wait const waits(semaphore, true);
    return waits.result(sem_wait(semaphore), HANDOFF_CALLER);
}

int init_semaphore(sem_t* semaphore, int shared, unsigned value) {
    forget(lock_kind::semaphore, semaphore);
    return sem_init(semaphore, shared, value);
}

int close_semaphore(sem_t* semaphore) {
    forget(lock_kind::semaphore, semaphore);
    return sem_close(semaphore);
}

int try_semaphore(sem_t* semaphore) {
    return taking_semaphore(semaphore).result(sem_trywait(semaphore), HANDOFF_CALLER);
}

int timed_wait_for_semaphore(sem_t* semaphore, timespec const* until) {
    return taking_semaphore(semaphore).result(sem_timedwait(semaphore, until), HANDOFF_CALLER);
}

int clock_wait_for_semaphore(sem_t* semaphore, clockid_t clock, timespec const* until) {
    return taking_semaphore(semaphore).result(sem_clockwait(semaphore, clock, until),
                                              HANDOFF_CALLER);
}

int post_semaphore(sem_t* semaphore) {
    if (thread_locks* const thread = thread_locks::current()) {
        if (lock_number const number = number_of(lock_kind::semaphore, semaphore); number != 0) {
            note_given_back(number, thread->gives(number));
        }
        thread_locks::signals(semaphore);
    }
    return sem_post(semaphore);
}

int destroy_semaphore(sem_t* semaphore) {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives_all(known_number_of(lock_kind::semaphore, semaphore));
        forget(lock_kind::semaphore, semaphore);
    }
    return sem_destroy(semaphore);
}

// libstdc++'s futures: std::__atomic_futex_unsigned_base, in <bits/atomic_futex.h>. Seconds and
// nanoseconds are each a std::chrono::duration of a long.
using futex_wait = bool (*)(void*, unsigned*, unsigned, bool, long, long);
using futex_notify = void (*)(unsigned*);  // a static member
futex_wait next_futex_wait = nullptr;
futex_notify next_futex_notify = nullptr;

bool wait_for_future(void* self, unsigned* word, unsigned value, bool has_timeout, long seconds,
                     long nanoseconds) {
    thread_locks* const thread = thread_locks::current();
    bool const waits_with_gil = thread != nullptr && !has_timeout && thread->holds_gil();
    if (waits_with_gil) {
        thread->begins_to_wait(word);
    }
    bool const result = next_futex_wait(self, word, value, has_timeout, seconds, nanoseconds);
    if (waits_with_gil) {
        thread->has_waited(word);
    }
    return result;
}

void notify_future(unsigned* word) {
    thread_locks::signals(word);
    next_futex_notify(word);
}

// Not called by its name, which leads here in the host.
void (*next_exit)(int) = nullptr;
void (*before_exit)() = nullptr;

/// How the interpreter ends a process at once, for example a child of multiprocessing.
void exit_at_once(int code) {
    before_exit();
    next_exit(code);
}

struct replacement {
    std::string_view name;
    void* ours;
    void** next;  // null, or the variable for the function itself
};

/// ours: is called instead. next: is set to the function itself, if `ours` does not call it by its
/// name.
template <class Function>
replacement of(std::string_view name, Function* ours, Function** next = nullptr) noexcept {
    return {.name = name,
            .ours = reinterpret_cast<void*>(ours),
            .next = reinterpret_cast<void**>(next)};
}

// Made when they are first requested: a preloaded library starts before its static objects exist.
std::span<replacement const> replacements() {
    static std::array const all = std::to_array<replacement>({
        of("pthread_mutex_lock", &lock_mutex),
        of("pthread_mutex_trylock", &try_mutex),
        of("pthread_mutex_timedlock", &timed_mutex),
        of("pthread_mutex_clocklock", &clock_mutex),
        of("pthread_mutex_unlock", &unlock_mutex),
        of("pthread_mutex_destroy", &destroy_mutex),
        of("pthread_rwlock_rdlock", &read_lock),
        of("pthread_rwlock_wrlock", &write_lock),
        of("pthread_rwlock_tryrdlock", &try_read_lock),
        of("pthread_rwlock_trywrlock", &try_write_lock),
        of("pthread_rwlock_timedrdlock", &timed_read_lock),
        of("pthread_rwlock_timedwrlock", &timed_write_lock),
        of("pthread_rwlock_clockrdlock", &clock_read_lock),
        of("pthread_rwlock_clockwrlock", &clock_write_lock),
        of("pthread_rwlock_unlock", &unlock_read_or_write),
        of("pthread_rwlock_destroy", &destroy_read_or_write),
        of("pthread_spin_lock", &spin),
        of("pthread_spin_trylock", &try_spin),
        of("pthread_spin_unlock", &unlock_spin),
        of("pthread_spin_init", &init_spin),
        of("pthread_spin_destroy", &destroy_spin),
        of("pthread_cond_wait", &wait_for_condition),
        of("pthread_cond_timedwait", &timed_wait_for_condition),
        of("pthread_cond_clockwait", &clock_wait_for_condition),
        of("pthread_cond_signal", &signal_condition),
        of("pthread_cond_broadcast", &broadcast_condition),
        of("pthread_join", &join),
        of("pthread_once", &once),
        of("__cxa_guard_acquire", &acquire_guard, &next_guard_acquire),
        of("__cxa_guard_release", &release_guard, &next_guard_release),
        of("__cxa_guard_abort", &abort_guard, &next_guard_abort),
        of("sem_wait", &wait_for_semaphore),
        of("sem_trywait", &try_semaphore),
        of("sem_timedwait", &timed_wait_for_semaphore),
        of("sem_clockwait", &clock_wait_for_semaphore),
        of("sem_post", &post_semaphore),
        of("sem_destroy", &destroy_semaphore),
        of("sem_close", &close_semaphore),
        of("sem_init", &init_semaphore),
        of("_ZNSt28__atomic_futex_unsigned_base19_M_futex_wait_"
           "untilEPjjbNSt6chrono8durationIlSt5ratio"
           "ILl1ELl1EEEENS2_IlS3_ILl1ELl1000000000EEEE",
           &wait_for_future, &next_futex_wait),
        of("_ZNSt28__atomic_futex_unsigned_base19_M_futex_notify_allEPj", &notify_future,
           &next_futex_notify),
    });
    return all;
}

std::span<replacement const> replacements_of_interpreter() {
    static std::array const all =
        std::to_array<replacement>({of("_exit", &exit_at_once, &next_exit)});
    return all;
}

bool is_same(loaded_object const& caller, loaded_object const& interpreter) {
    return interpreter.contains(caller.find("_PyRuntime").address);
}

bool is_left_out(loaded_object const& caller) {
    std::string_view const path = caller.path();
    std::string_view const name = path.substr(path.rfind('/') + 1);
    static constexpr auto beginnings =
        std::to_array<std::string_view>({"libc.so", "libpthread.so", "ld-linux", "libgcc_s.so"});
    return caller.contains(reinterpret_cast<void const*>(&watch_lock_calls)) ||
           std::ranges::any_of(beginnings, [name](auto each) { return name.starts_with(each); });
}

/// The function that the slot leads to, or would lead to after the first call. It may not be in the
/// global scope, for example if a Python module links it.
void* function_of(loaded_object const& caller, loaded_object::slot const& slot) {
    void* found = caller.contains(*slot.where) ? nullptr : *slot.where;
    if (found == nullptr) {
        for_each_loaded_object([&](loaded_object const& each) {
            found = found == nullptr ? each.find(slot.name).address : found;
        });
    }
    return found;
}

}  // namespace

void watch_lock_calls(loaded_object const& interpreter, void (*exits)()) {
    before_exit = exits;
    auto const watch = [&](loaded_object const& caller) {
        bool const is_interpreter = is_same(caller, interpreter);
        if (!is_interpreter && is_left_out(caller)) {
            return;
        }
        std::span<replacement const> const wanted =
            is_interpreter ? replacements_of_interpreter() : replacements();
        auto const replacement_of = [&](loaded_object::slot const& slot) -> replacement const* {
            auto const found = std::ranges::find(wanted, slot.name, &replacement::name);
            return found != wanted.end() && *slot.where != found->ours ? &*found : nullptr;
        };
        bool has_slots = false;
        auto const look = [&](loaded_object::slot const& slot) {
            has_slots = has_slots || replacement_of(slot) != nullptr;
        };
        caller.for_each_slot(std::ref(look));
        if (!has_slots) {
            return;
        }
        loaded_object::writable const now(caller);
        auto const replace = [&](loaded_object::slot const& slot) {
            replacement const* const found = now ? replacement_of(slot) : nullptr;
            if (found == nullptr) {
                return;
            }
            if (found->next != nullptr && *found->next == nullptr) {
                *found->next = function_of(caller, slot);
            }
            if (found->next == nullptr || *found->next != nullptr) {
                now.put(slot, found->ours);
            }
        };
        caller.for_each_slot(std::ref(replace));
    };
    for_each_loaded_object(std::ref(watch));  // by reference: a copy would be allocated
}

}  // namespace handoff::detail
