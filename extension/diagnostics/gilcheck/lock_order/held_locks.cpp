// held_locks: the threads' lists, the graph's mutex, and how the GIL's events change them.
#include "held_locks.hpp"

#include "current_function.hpp"
#include "gil_events.hpp"
#include "lock_numbers.hpp"
#include "mapped_array.hpp"
#include "mixed.hpp"
#include "program_threads.hpp"
#include "running_python.hpp"
#include "uninterrupted_wait.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <execinfo.h>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <unistd.h>
#include <utility>

namespace handoff::detail {

constinit thread_local own_watch own;
bool attachment_is_asked_for = false;
std::atomic<void const*> const* objects_of_locks = nullptr;

namespace {

constexpr std::size_t most_edges = 1U << 16U;
constexpr std::size_t most_threads = 1U << 14U;
constexpr std::size_t most_sites = 1U << 16U;

/// No wrapper sees this mutex: this code's own calls are not intercepted. REQUIRES: within.
constinit std::mutex mutex_of_graph;

lock_graph* graph = nullptr;
lock_listener listener;
std::atomic<bool> watching = false;
function_reader python_functions;
running_python const* python = nullptr;

/// A waiter with the GIL, and the thread that woke it. A signaller looks here only if one waits.
struct event_waited_for {
    std::atomic<void const*> event = nullptr;
    std::atomic<bool> was_signalled = false;
    bool by_a_taker = false;  // the signaller has ever taken the GIL; guarded by the graph's mutex
    acting_place signalled;
    gil_takes took_gil;
};
constexpr std::size_t most_events = 64;
std::array<event_waited_for, most_events>* events = nullptr;
std::atomic<int> waiting_with_gil = 0;
std::atomic<int> joining_with_gil = 0;

pthread_key_t at_thread_exit;

/// Not to be called with the graph's mutex.
void tell_losses(lock_graph::losses const& now) noexcept {
    auto const tell_if = [](bool lost, lost_room what) {
        if (lost) {
            listener.loses(what);
        }
    };
    tell_if(now.locks, lost_room::locks);
    tell_if(now.edges, lost_room::orders);
    tell_if(now.searches, lost_room::searches);
}

}  // namespace

/// The lists of all threads; a list is reused when its thread has ended. Guarded by the graph's
/// mutex.
struct thread_pool {
    mapped_array<thread_locks> all{most_threads};
    std::size_t used = 0;
    std::uint32_t numbers = 0;
    mapped_array<short_stack> sites{most_sites};
    std::size_t used_sites = 0;
    mapped_array<std::uint32_t> site_buckets{most_sites};

    thread_locks* make() {
        thread_locks* found = nullptr;
        for (std::size_t each = 0; each < used && found == nullptr; ++each) {
            if (all[each].id_.load(std::memory_order_relaxed) == 0) {
                found = &all[each];
            }
        }
        if (found == nullptr && used < all.size()) {
            found = &all[used++];
        }
        if (found == nullptr) {
            return nullptr;
        }
        new (found) thread_locks();
        found->number_ = ++numbers;
        found->handle_ = pthread_self();
        found->id_ = own_thread_id();
        return found;
    }

    [[nodiscard]] thread_locks* of(pthread_t handle) const {
        for (std::size_t each = 0; each < used; ++each) {
            thread_locks& thread = all[each];
            if (thread.id_ != 0 && pthread_equal(thread.handle_, handle) != 0) {
                return &thread;
            }
        }
        return nullptr;
    }

    [[nodiscard]] thread_locks* of(pid_t id) const {
        for (std::size_t each = 0; id != 0 && each < used; ++each) {
            if (all[each].id_ == id) {
                return &all[each];
            }
        }
        return nullptr;
    }

    /// Each stack is kept once, for all threads.
    short_stack const* keep(short_stack const& calls) {
        std::uint64_t hash = calls.count;
        for (std::uint32_t each = 0; each < calls.count; ++each) {
            hash = mixed(hash ^ reinterpret_cast<std::uintptr_t>(calls.addresses.at(each)));
        }
        for (std::size_t probe = 0; probe < 64; ++probe) {
            std::uint32_t& bucket = site_buckets[(hash + probe) & (site_buckets.size() - 1)];
            if (bucket == 0) {
                if (used_sites + 1 >= sites.size()) {
                    return nullptr;
                }
                bucket = static_cast<std::uint32_t>(++used_sites);
                sites[bucket] = calls;
                return &sites[bucket];
            }
            if (sites[bucket].count == calls.count && sites[bucket].addresses == calls.addresses) {
                return &sites[bucket];
            }
        }
        return nullptr;
    }
};

namespace {

thread_pool* pool = nullptr;
std::optional<loaded_object> own_object;

bool is_in_use(lock_number lock) {
    for (std::size_t each = 0; each < pool->used; ++each) {
        if (pool->all[each].holds(lock)) {
            return true;
        }
    }
    return false;
}

/// Without this code's own frames: the innermost frame is the wrapper's caller.
template <std::size_t Most>
void take_stack(calls<Most>& taken, void const* return_address) noexcept {
    constexpr std::size_t most_of_ours = 10;
    std::array<void*, Most + most_of_ours> found{};
    std::span<void* const> const all(
        found.data(),
        static_cast<std::size_t>(backtrace(found.data(), static_cast<int>(found.size()))));
    auto first = std::ranges::find(all, return_address);
    if (first == all.end()) {
        first = std::ranges::find_if(all.first(std::min(all.size(), most_of_ours)),
                                     [](void* each) { return !own_object->contains(each); });
    }
    std::span<void* const> const kept(first, std::min<std::size_t>(all.end() - first, Most));
    taken.count = static_cast<std::uint32_t>(kept.size());
    std::ranges::copy(kept, taken.addresses.begin());
}

/// The calls that lead to a wrapper, without a lookup: those of functions with frame pointers. Code
/// that was not optimised has them, and its innermost calls are the standard library's. What is no
/// frame pointer is not followed out of the page of the stack that the wrapper's frame is on.
std::uint64_t key_of_calls(void const* return_address, void const* frame) noexcept {
    constexpr std::uintptr_t page = 4096;
    constexpr std::uintptr_t word = sizeof(void*);
    auto key = reinterpret_cast<std::uintptr_t>(return_address);
    auto const* at = static_cast<std::uintptr_t const*>(frame);
    for (int outer = 0; outer < 4; ++outer) {
        auto const here = reinterpret_cast<std::uintptr_t>(at);
        std::uintptr_t const next = at[0];
        if (next <= here || next % word != 0 || (next ^ here) >= page ||
            next % page > page - 2 * word) {
            break;
        }
        at += (next - here) / word;
        key = std::rotl(key, 13) ^ at[1];
    }
    return key | 1U;  // 0 is none
}

}  // namespace

/// 0: it waits for nothing, or for something else first.
lock_number thread_locks::waits_for() const noexcept {
    if (waits_for_gil_.load(std::memory_order_relaxed)) {
        return number_of_gil;
    }
    return waits_elsewhere_.load(std::memory_order_relaxed)
               ? 0
               : wanted_.load(std::memory_order_relaxed);
}

namespace {

/// The program has, or has had, more than one thread. It does not become false again.
std::atomic<bool> beside_threads = false;

/// Changes when more is known of the program's threads. What was told is then told anew.
std::uint64_t key_of_threads() noexcept {
    return beside_threads.load(std::memory_order_relaxed) ? 0U
           : __libc_single_threaded != 0                  ? 2U
                                                          : 4U;
}

/// The tools' threads do not count.
bool is_beside_threads() noexcept {
    if (!beside_threads.load(std::memory_order_relaxed) && __libc_single_threaded == 0 &&
        has_several_threads()) {
        beside_threads.store(true, std::memory_order_relaxed);
    }
    return beside_threads.load(std::memory_order_relaxed);
}

}  // namespace

/// The key stands for the lock that it wants and for all that it holds.
[[gnu::always_inline]] inline void thread_locks::tell(lock_number lock, bool is_shared,
                                                      bool predicted, bool without_gil) noexcept {
    std::uint64_t key = mixed(set_ + hash_of(lock, is_shared) * (predicted ? 5U : 3U));
    key ^= key_of_threads();
    if (told_[key % told_.size()] != key || epoch_ != graph->epoch()) {
        tell_anew(key, lock, is_shared, predicted, without_gil);
    }
}

void thread_locks::wants_beside_others(lock_number lock, bool is_shared) noexcept {
    within const telling;
    tell(lock, is_shared, false);
}

void thread_locks::wants_without_gil(lock_number lock) noexcept {
    wanted_.store(lock, std::memory_order_relaxed);
    if (count_.load(std::memory_order_relaxed) > (has_gil_ ? 1U : 0U) &&
        find_held(lock) == nullptr) {
        within const telling;
        tell(lock, false, false, true);
    }
}

void thread_locks::tell_anew(std::uint64_t key, lock_number lock, bool is_shared, bool predicted,
                             bool without_gil) noexcept {
    if (!is_beside_threads()) {  // nothing can deadlock yet, and this place is not the one to name
        told_[key % told_.size()] = key;
        return;
    }
    std::array<held_lock, most_held> meanwhile;
    std::span<held_lock const> held_meanwhile(held_.data(), count_);
    if (without_gil) {
        auto const* const end = std::ranges::remove_copy(held_meanwhile, meanwhile.begin(),
                                                         number_of_gil, &held_lock::lock)
                                    .out;
        held_meanwhile = {meanwhile.begin(), end};
    }
    lock_graph::want const wanted{.thread = number_,
                                  .lock = lock,
                                  .is_shared = is_shared,
                                  .predicted = predicted,
                                  .held = held_meanwhile};
    bool is_new = false;
    {
        std::scoped_lock const held(mutex_of_graph);
        if (epoch_ != graph->epoch()) {
            epoch_ = graph->epoch();
            told_.fill(0);
        }
        is_new = graph->is_new(wanted);
    }
    // Without the mutex, because the unwinder may take one of the loader's.
    acting_place const place = is_new ? here() : acting_place{};
    lock_finding found;
    bool is_found = false;
    lock_graph::losses lost;
    {
        std::scoped_lock const held(mutex_of_graph);
        is_found = graph->add(wanted, is_new ? &place : nullptr, found.cycle);
        told_[key % told_.size()] = key;
        lost = graph->given_up();
    }
    if (is_found) {
        found.what = lock_finding::kind::cycle;
        listener.finds(found);
    }
    tell_losses(lost);
}

// These are called for each lock, so they are inlined into their callers.
[[gnu::always_inline]] inline short_stack const* thread_locks::where(void const* return_address,
                                                                     void const* frame) noexcept {
    if (return_address == nullptr) {
        return nullptr;
    }
    std::uint64_t const key = key_of_calls(return_address, frame);
    site& kept = sites_[mixed(key) % sites_.size()];
    if (kept.key != key) {
        note_site(kept, key, return_address);
    }
    return kept.calls;
}

[[gnu::always_inline]] inline void thread_locks::add_held(lock_number lock, bool is_shared,
                                                          short_stack const* since) noexcept {
    std::uint32_t const count = count_.load(std::memory_order_relaxed);
    if (count == held_.size()) {
        ++too_many_;
        listener.loses(lost_room::held_locks);
        return;
    }
    changes_.store(changes_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    held_[count] = {.lock = lock, .depth = 1, .is_shared = is_shared, .since = since};
    set_ += hash_of(lock, is_shared);
    count_.store(count + 1, std::memory_order_relaxed);
}

void thread_locks::has_first(lock_number lock, bool is_shared, void const* return_address,
                             void const* frame) noexcept {
    add_held(lock, is_shared, where(return_address, frame));
    handoff_calls_go_on = false;
}

std::uint32_t thread_locks::gives_all(lock_number lock) noexcept {
    within const changing;
    held_lock* const its = find_held(lock);
    if (its == nullptr) {
        return 0;
    }
    std::uint32_t const depth = its->depth;
    remove(*its);
    return depth;
}

/// The lock may be one for which there was no room.
bool thread_locks::gives_uncounted() noexcept {
    if (too_many_ > 0) {
        --too_many_;
        return true;
    }
    return false;
}

void thread_locks::note_site(site& kept, std::uint64_t key, void const* return_address) noexcept {
    short_stack taken;
    take_stack(taken, return_address);
    std::scoped_lock const held(mutex_of_graph);
    kept = {.key = key, .calls = pool->keep(taken)};
}

acting_place thread_locks::here() const noexcept {
    acting_place seen;
    seen.thread = {.number = number_, .id = own_thread_id(), .name = {}};
    prctl(PR_GET_NAME, seen.thread.name.data());
    take_stack(seen.stack, nullptr);
    write_own_python_place(seen.python);
    return seen;
}

[[gnu::always_inline]] inline void thread_locks::takes_gil() noexcept {
    waits_for_gil_.store(false, std::memory_order_relaxed);
    if (std::exchange(has_gil_, true)) {
        return;
    }
    takes_.store(takes_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (!took_gil_.load(std::memory_order_relaxed)) {
        take_stack(first_take_, nullptr);
        first_taken_at_ = std::chrono::steady_clock::now();
        took_gil_.store(true, std::memory_order_release);
    }
    std::uint32_t const count = count_.load(std::memory_order_relaxed);
    if (count > 0) {
        tell(number_of_gil, false, false);
    }
    // Attached threads do not exclude each other. So this does not keep two orders of locks apart.
    add_held(number_of_gil, attachment_is_asked_for, nullptr);
    handoff_calls_go_on = count == 0 && !attachment_is_asked_for;
}

[[gnu::always_inline]] inline void thread_locks::drops_gil() noexcept {
    has_gil_ = false;
    std::uint32_t const count = count_.load(std::memory_order_relaxed);
    if (count == 1 && held_[0].lock == number_of_gil) {  // the usual case
        set_ = 0;
        count_.store(0, std::memory_order_relaxed);
        return;
    }
    if (held_lock* const gil = find_held(number_of_gil)) {
        remove(*gil);
    }
}

void thread_locks::ask_for_attachment() noexcept {
    bool const is_attached = python->current_state() != nullptr;
    if (is_attached != has_gil_) {
        within const noting;
        is_attached ? takes_gil() : drops_gil();
    }
}

thread_locks* thread_locks::begin() noexcept {
    if (!watching.load(std::memory_order_acquire)) {
        return nullptr;
    }
    within const beginning;
    thread_locks* made = nullptr;
    {
        std::scoped_lock const held(mutex_of_graph);
        made = pool->make();
    }
    if (made == nullptr) {
        listener.loses(lost_room::threads);
    } else {
        own.locks = made;
        made->has_gil_ = handoff_gil_held;
        if (made->number_ > 1) {
            beside_threads.store(true, std::memory_order_relaxed);
        }
        pthread_setspecific(at_thread_exit, made);
        if (made->has_gil_) {
            made->has_gil_ = false;
            made->takes_gil();
        }
    }
    return made;
}

void thread_locks::waits_for_gil() noexcept {
    waits_for_gil_ = true;
    if (count_.load(std::memory_order_relaxed) > 0) {
        tell(number_of_gil, false, false);
    }
    // The holder of the GIL may wait for this thread to end. Either this thread sees that, or the
    // other sees in begins_to_join() that this one waits: both write before they read.
    if (joining_with_gil == 0) {
        return;
    }
    lock_finding found;
    {
        std::scoped_lock const held(mutex_of_graph);
        thread_locks const* const holder = pool->of(holder_of_gil().id);
        if (holder == nullptr || !holder->joins_ ||
            pthread_equal(holder->joined_, pthread_self()) == 0) {
            return;
        }
        found.waits = holder->joins_at_;
        describe(found);
    }
    found.what = lock_finding::kind::joins_with_gil;
    found.happens = true;
    found.other = here();
    listener.finds(found);
}

void thread_locks::calls_python() noexcept {
    within const telling;
    if (has_gil_ && count_.load(std::memory_order_relaxed) > 1) {
        tell(number_of_gil, false, true);
    }
}

void thread_locks::begins_to_wait(void const* event) noexcept {
    within const noting;
    std::scoped_lock const held(mutex_of_graph);
    for (event_waited_for& each : *events) {
        if (each.event.load(std::memory_order_relaxed) == nullptr) {
            each.was_signalled = false;
            each.event = event;
            ++waiting_with_gil;
            return;
        }
    }
}

void thread_locks::signals(void const* event) noexcept {
    if (waiting_with_gil.load(std::memory_order_relaxed) == 0) {
        return;
    }
    thread_locks* const thread = current();
    if (thread == nullptr) {
        return;
    }
    within const noting;
    acting_place const place = thread->here();
    std::scoped_lock const held(mutex_of_graph);
    for (event_waited_for& each : *events) {
        if (each.event.load(std::memory_order_relaxed) == event && !each.was_signalled) {
            each.was_signalled = true;
            each.by_a_taker = thread->took_gil_.load(std::memory_order_relaxed);
            each.signalled = place;
            each.took_gil = thread->takes_so_far();
        }
    }
}

void thread_locks::has_waited(void const* event) noexcept {
    within const noting;
    lock_finding found;
    bool by_a_taker = false;
    {
        std::scoped_lock const held(mutex_of_graph);
        for (event_waited_for& each : *events) {
            if (each.event.load(std::memory_order_relaxed) == event) {
                by_a_taker = each.was_signalled && each.by_a_taker;
                found.other = each.signalled;
                found.took_gil = each.took_gil;
                each.event = nullptr;
                --waiting_with_gil;
                break;
            }
        }
    }
    if (by_a_taker && found.other.thread.number != number_) {
        found.what = lock_finding::kind::waits_with_gil;
        found.waits = here();
        listener.finds(found);
    }
}

void thread_locks::begins_to_join(pthread_t other) noexcept {
    within const noting;
    acting_place const place = here();
    lock_finding found;
    {
        std::scoped_lock const held(mutex_of_graph);
        joins_at_ = place;
        joined_ = other;
        joins_ = true;
        ++joining_with_gil;
        thread_locks const* const joined = pool->of(other);
        if (joined == nullptr || !joined->waits_for_gil_) {
            return;
        }
        joined->describe(found);
    }
    found.what = lock_finding::kind::joins_with_gil;
    found.happens = true;
    found.waits = place;
    listener.finds(found);
}

bool thread_locks::joins_a_sleeper() const noexcept {
    within const noting;
    pid_t other = 0;
    {
        std::scoped_lock const held(mutex_of_graph);
        thread_locks const* const joined = pool->of(joined_);
        other = joined == nullptr ? 0 : joined->id_.load(std::memory_order_relaxed);
    }
    return other != 0 && state_of(other) == 'S';
}

void thread_locks::still_joins() noexcept {
    within const noting;
    lock_finding found;
    {
        std::scoped_lock const held(mutex_of_graph);
        thread_locks const* const joined = pool->of(joined_);
        if (joined == nullptr || !joined->took_gil_.load(std::memory_order_acquire)) {
            return;
        }
        joined->describe(found);
        found.waits = joins_at_;
    }
    found.what = lock_finding::kind::joins_with_gil;
    listener.finds(found);
}

void thread_locks::has_joined() noexcept {
    within const noting;
    std::scoped_lock const held(mutex_of_graph);
    joins_ = false;
    --joining_with_gil;
}

/// Called by another thread than the one described.
void thread_locks::describe(lock_finding& found) const noexcept {
    found.other.thread = {.number = number_, .id = id_, .name = {}};
    found.took_gil = takes_so_far();
}

gil_takes thread_locks::takes_so_far() const noexcept {
    if (!took_gil_.load(std::memory_order_acquire)) {
        return {};
    }
    return {.count = takes_.load(std::memory_order_relaxed),
            .first = first_take_,
            .since_first = std::chrono::steady_clock::now() - first_taken_at_};
}

/// Receives the GIL's events.
class lock_watch {
public:
    static void waits() noexcept {
        if (thread_locks* const thread = thread_locks::current()) {
            within const noting;
            thread->waits_for_gil();
        }
    }
    static void takes() noexcept {
        if (thread_locks* const thread = thread_locks::current()) {
            within const noting;
            thread->takes_gil();
        }
    }
    static void drops() noexcept {
        if (thread_locks* const thread = thread_locks::current()) {
            within const noting;
            thread->drops_gil();
        }
    }
    static void calls_python() noexcept {
        if (thread_locks* const thread = thread_locks::current()) {
            thread->calls_python();
        }
    }
    /// The thread that holds the lock, and its record of it; null: no known thread. The other
    /// threads' records are read without a lock: a stale answer differs at the next look.
    static thread_locks const* holder_of(lock_number lock, held_lock& its) noexcept {
        for (std::size_t each = 0; each < pool->used; ++each) {
            thread_locks const& thread = pool->all[each];
            if (held_lock const* const held = thread.id_ != 0 ? thread.find_held(lock) : nullptr) {
                its = *held;
                return &thread;
            }
        }
        return nullptr;
    }
    /// Follows from each thread what it waits for. GIL: any. REQUIRES: the graph's mutex.
    static bool is_stuck(thread_locks const& first, stuck_threads& found) noexcept {
        found.count = 0;
        thread_locks const* thread = &first;
        while (thread != nullptr && found.count < found.threads.size()) {
            lock_number const wanted = thread->waits_for();
            lock_kind const kind = graph->seen(wanted).kind;
            if (wanted == 0 || thread->is_stuck_ || kind == lock_kind::semaphore ||
                kind == lock_kind::shared_mutex ||  // perhaps held by several
                (kind == lock_kind::python_lock &&
                 (graph->is_ignored(wanted) || !graph->is_paired_lock(wanted)))) {
                return false;
            }
            found.threads.at(found.count++) = {
                .thread = {.number = thread->number_, .id = thread->id_, .name = {}},
                .changes = thread->changes_,
                .wants = wanted};
            held_lock its;
            thread = holder_of(wanted, its);
            if (thread == &first) {
                return found.count > 1;
            }
        }
        return false;
    }
    static bool find_stuck(stuck_threads& found) noexcept {
        within const looking;
        std::scoped_lock const held(mutex_of_graph);
        for (std::size_t each = 0; each < pool->used; ++each) {
            if (pool->all[each].id_ != 0 && is_stuck(pool->all[each], found)) {
                return true;
            }
        }
        return false;
    }
    static void note_stuck(stuck_threads const& stuck, lock_finding& described) noexcept {
        within const noting;
        std::scoped_lock const held(mutex_of_graph);
        described.what = lock_finding::kind::cycle;
        described.happens = true;
        described.cycle.count = stuck.count;
        for (std::size_t each = 0; each < stuck.count; ++each) {
            stuck_threads::one const& its = stuck.threads.at(each);
            lock_number const holds =
                stuck.threads.at((each + stuck.count - 1) % stuck.count).wants;
            lock_edge& edge = described.cycle.edges.at(each);
            if (lock_edge const* const known = graph->edge(holds, its.wants)) {
                edge = *known;
            }
            edge.from = holds;
            edge.to = its.wants;
            edge.predicted = false;
            edge.wanted.thread = its.thread;
            described.cycle.locks.at(each) = graph->seen(holds);
            held_lock since;
            holder_of(holds, since);
            edge.held_since = since.since;
            if (thread_locks* const thread = pool->of(its.thread.id)) {
                thread->is_stuck_ = true;
            }
        }
    }
    static void ends(void* ended) noexcept {
        auto* const thread = static_cast<thread_locks*>(ended);
        within const ending;
        own.locks = nullptr;
        std::scoped_lock const held(mutex_of_graph);
        thread->count_ = 0;
        thread->id_ = 0;
    }
    /// Only the calling thread is in the child. The mutex is not held over the fork(): another fork
    /// handler, such as an allocator's, may wait for a thread that waits for this mutex. If a
    /// thread held it, what it guards is made anew.
    static void begins_in_child() noexcept {
        own.is_inside = true;
        bool const is_whole = mutex_of_graph.try_lock();
        if (!is_whole) {
            new (&mutex_of_graph) std::mutex();
            new (graph) lock_graph(most_locks, most_edges, &has_its_mark);
            new (pool) thread_pool();
            objects_of_locks = graph->objects();
            own.locks = nullptr;
        }
        for (std::size_t each = 0; each < pool->used; ++each) {
            thread_locks& thread = pool->all[each];
            thread.count_ = &thread == own.locks ? thread.count_.load() : 0;
            thread.id_ = &thread == own.locks ? own_thread_id() : 0;
        }
        for (event_waited_for& each : *events) {
            each.event = nullptr;
        }
        waiting_with_gil = 0;
        joining_with_gil = 0;
        if (is_whole) {
            mutex_of_graph.unlock();
        }
        own.is_inside = false;
    }
};

namespace {

constinit gil_listener const events_of_gil{
    .waits = &lock_watch::waits, .takes = &lock_watch::takes, .drops = &lock_watch::drops};

}  // namespace

void watch_locks(running_python const& watched, lock_listener const& told) {
    python = &watched;
    python_functions = function_reader(watched);
    listener = told;
    for_each_loaded_object([](loaded_object const& each) {
        if (each.contains(reinterpret_cast<void const*>(&watch_locks))) {
            own_object = each;
        }
    });
    graph = new lock_graph(most_locks, most_edges, &has_its_mark);
    objects_of_locks = graph->objects();
    pool = new thread_pool();
    events = new std::array<event_waited_for, most_events>();
    pthread_key_create(&at_thread_exit, &lock_watch::ends);
    std::array<void*, 1> first{};
    backtrace(first.data(), 1);  // loads libgcc now
    pthread_atfork(nullptr, nullptr, &lock_watch::begins_in_child);
    if (watched.is_free_threaded) {
        attachment_is_asked_for = true;
    } else {
        listen_to_gil(watched, events_of_gil);
    }
    watching.store(true, std::memory_order_release);
}

bool find_stuck_threads(stuck_threads& found) noexcept { return lock_watch::find_stuck(found); }

void note_stuck_threads(stuck_threads const& stuck, lock_finding& described) noexcept {
    lock_watch::note_stuck(stuck, described);
}

bool is_of_this_tool(void const* address) noexcept {
    return own_object && own_object->contains(address);
}

void write_own_python_place(std::span<char> to) noexcept {
    void const* const state =
        python->is_initialized() != 0 ? python->this_threads_state() : nullptr;
    python_function const function = state != nullptr && python_functions.knows()
                                         ? python_functions.current(state)
                                         : python_function();
    if (function.name != nullptr && function.file != nullptr) {
        int const line = python_functions.current_line(state);
        python_functions.write_place(function, line != 0 ? line : function.line, to);
    } else {
        to.front() = '\0';
    }
}

bool is_of_interpreter(void const* address) noexcept { return python->object.contains(address); }

void note_call_of_python() noexcept { lock_watch::calls_python(); }

void note_attachment() noexcept {
    if (attachment_is_asked_for) {
        static_cast<void>(thread_locks::current());
    }
}

lock_number number_new_lock(lock_kind kind, void const* object) noexcept {
    within const noting;
    lock_number made = 0;
    lock_graph::losses lost;
    {
        std::scoped_lock const held(mutex_of_graph);
        made = graph->add(kind, object, &is_in_use);
        lost = graph->given_up();
    }
    tell_losses(lost);
    if (made == 0) {
        listener.loses(lost_room::locks);
    }
    return made;
}

void forget_lock(lock_number lock) noexcept {
    within const noting;
    std::scoped_lock const held(mutex_of_graph);
    graph->remove(lock);
}

void note_initialised(lock_number lock) noexcept { note_given_back(lock, true); }

bool is_initialised(lock_number lock) noexcept {
    within const looking;
    std::scoped_lock const held(mutex_of_graph);
    return graph->is_paired_lock(lock);
}

bool is_ignored(lock_number lock) noexcept {
    within const looking;
    std::scoped_lock const held(mutex_of_graph);
    return graph->is_ignored(lock);
}

void note_given_back(lock_number lock, bool by_who_took_it) noexcept {
    within const noting;
    std::scoped_lock const held(mutex_of_graph);
    if (by_who_took_it) {
        graph->is_paired(lock);
    } else {
        graph->ignore(lock);
    }
}

}  // namespace handoff::detail
