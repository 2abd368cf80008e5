// modelled: std::atomic as Relacy models it, in which a thread may read what is no longer there.
//
// Overview
//   The compiler includes this file before a source of ours. All that the source includes of the
//   standard library is included here; then `atomic` becomes a macro. So std::atomic in the source
//   is the class below, and the source itself is run, not a copy of it.
//   Relacy runs the threads of a test as fibers, switches between them at each atomic operation,
//   and lets a load return any value that C++ allows it: also an old one. It tells of data races on
//   rl::var, of deadlocks, and of assertions that failed.
//
// Weakening
//   Each operation that names its order is known by its place in the source. weakened() makes one
//   of them relaxed, or takes a half away from it: if no test fails then, either nothing needs the
//   order, or the tests do not see what does.
//
// Limits
//   Relacy keeps the last three values of a variable, and no thread reads what has not yet been
//   written. An atomic that was made outside a test is no part of the model.
#pragma once

#include <boost/circular_buffer.hpp>
#include <boost/container/static_vector.hpp>
#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <iostream>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <pthread.h>
#include <source_location>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <relacy/relacy.hpp>
#pragma GCC diagnostic pop
// Relacy's names for what is the standard library's.
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace modelled {

/// Where an operation stands in the source, and what it asks for.
struct operation {
    std::string_view file;
    unsigned line = 0;
    unsigned column = 0;
    std::memory_order order = std::memory_order_relaxed;

    bool operator==(operation const&) const = default;
};

/// Those that were executed. Allocates nothing: within a test Relacy counts what is allocated.
inline boost::container::static_vector<operation, 256> operations;
inline std::optional<std::pair<operation, std::memory_order>> weakened;

/// Variables of which each thread has its own. Relacy's threads are fibers of one thread.
inline std::vector<void**> of_each_thread;

inline char const* name(std::memory_order order) {
    switch (order) {
        case std::memory_order_relaxed:
            return "relaxed";
        case std::memory_order_consume:
            return "consume";
        case std::memory_order_acquire:
            return "acquire";
        case std::memory_order_release:
            return "release";
        case std::memory_order_acq_rel:
            return "acq_rel";
        case std::memory_order_seq_cst:
            break;
    }
    return "seq_cst";
}

/// Lets other fibers run while it lives, and gives the thread its own variables back.
class switching {
public:
    switching() {
        for (void** const each : of_each_thread) {
            kept_.push_back(*each);
        }
    }
    ~switching() {
        for (std::size_t each = 0; each < kept_.size(); ++each) {
            *of_each_thread[each] = kept_[each];
        }
    }
    switching(switching const&) = delete;
    switching& operator=(switching const&) = delete;

private:
    boost::container::static_vector<void*, 4> kept_;
};

template <class T>
class atomic {
    using bits = std::uint64_t;
    using place = std::source_location;
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(bits));

public:
    constexpr atomic() noexcept : atomic(T{}) {}
    constexpr atomic(T value) noexcept : constant_(value) {
        if (!std::is_constant_evaluated()) {
            begin(value);
        }
    }
    constexpr ~atomic() {
        if (!std::is_constant_evaluated()) {
            end();
        }
    }
    atomic(atomic const&) = delete;
    atomic& operator=(atomic const&) = delete;

    T load(std::memory_order order = std::memory_order_seq_cst,
           place where = place::current()) const {
        if (modelled_ == nullptr) {
            return constant_;
        }
        switching others;
        return from(modelled_->load(asked(order, where, reads), told(where)));
    }
    void store(T value, std::memory_order order = std::memory_order_seq_cst,
               place where = place::current()) {
        if (modelled_ == nullptr) {
            constant_ = value;
            return;
        }
        switching others;
        modelled_->store(to(value), asked(order, where, writes), told(where));
    }
    T exchange(T value, std::memory_order order = std::memory_order_seq_cst,
               place where = place::current()) {
        if (modelled_ == nullptr) {
            return std::exchange(constant_, value);
        }
        switching others;
        return from(modelled_->exchange(to(value), asked(order, where), told(where)));
    }
    bool compare_exchange_weak(T& expected, T value,
                               std::memory_order order = std::memory_order_seq_cst,
                               place where = place::current()) {
        switching others;
        bits before = to(expected);
        bool const done =
            modelled_->compare_exchange_weak(before, to(value), asked(order, where), told(where));
        expected = from(before);
        return done;
    }
    bool compare_exchange_weak(T& expected, T value, std::memory_order order,
                               std::memory_order otherwise, place where = place::current()) {
        switching others;
        bits before = to(expected);
        bool const done =
            modelled_->compare_exchange_weak(before, to(value), asked(order, where), told(where),
                                             asked(otherwise, where, reads), told(where));
        expected = from(before);
        return done;
    }
    T fetch_add(T value, std::memory_order order = std::memory_order_seq_cst,
                place where = place::current()) {
        if (modelled_ == nullptr) {
            return std::exchange(constant_, static_cast<T>(constant_ + value));
        }
        switching others;
        return from(modelled_->fetch_add(to(value), asked(order, where), told(where)));
    }
    T operator++() { return fetch_add(1) + 1; }
    operator T() const { return load(); }
    T operator=(T value) {
        store(value);
        return value;
    }

private:
    static bits to(T value) noexcept {
        bits all = 0;
        std::memcpy(&all, &value, sizeof value);
        return all;
    }
    static T from(bits all) noexcept {
        T value{};
        std::memcpy(&value, &all, sizeof value);
        return value;
    }
    static rl::debug_info told(place const& where) {
        return {where.function_name(), where.file_name(), where.line()};
    }
    enum action { reads, writes, does_both };
    static rl::memory_order asked(std::memory_order order, place const& where,
                                  action what = does_both) {
        operation const its{where.file_name(), where.line(), where.column(), order};
        if (std::find(operations.begin(), operations.end(), its) == operations.end()) {
            operations.push_back(its);
        }
        if (weakened && weakened->first == its) {
            order = weakened->second;
        }
        switch (order) {
            case std::memory_order_relaxed:
                return rl::mo_relaxed;
            case std::memory_order_consume:
            case std::memory_order_acquire:
                return rl::mo_acquire;
            case std::memory_order_release:
                return rl::mo_release;
            case std::memory_order_acq_rel:
                return what == reads    ? rl::mo_acquire
                       : what == writes ? rl::mo_release
                                        : rl::mo_acq_rel;
            case std::memory_order_seq_cst:
                break;
        }
        return rl::mo_seq_cst;
    }

    void begin(T value) {
        if (!rl::is_ctx()) {
            return;
        }
        modelled_ = new (&room_) rl::atomic<bits>;
        modelled_->store(to(value), rl::mo_relaxed, $);
    }
    void end() {
        if (modelled_ != nullptr) {
            std::destroy_at(modelled_);
        }
    }

    T constant_;  // the value of one that is no part of the model
    rl::atomic<bits>* modelled_ = nullptr;
    alignas(rl::atomic<bits>) std::byte room_[sizeof(rl::atomic<bits>)]{};
};

/// std::this_thread, where a thread that gives way lets others run.
namespace this_thread {
using std::this_thread::get_id;
inline void yield() {
    switching others;
    rl::yield(1, $);
}
template <class Duration>
void sleep_for(Duration /*time*/) {
    yield();
}
}  // namespace this_thread

}  // namespace modelled

namespace std {
template <class T>
using modelled_atomic = ::modelled::atomic<T>;
namespace modelled_this_thread = ::modelled::this_thread;
}  // namespace std

#define atomic modelled_atomic
#define this_thread modelled_this_thread
