// What is measured of each library, in the same loops: calls, copies and drops of what Python
// passed.
//
// Where the measured thread is:
//   held       it holds the GIL
//   kept       a native thread, without the GIL, whose thread state the library keeps
//   plain      a native thread, without the GIL, which keeps nothing by hand
//   contended  as kept, while another thread executes Python code: elapsed time, all else is the
//              measured thread's processor time
#pragma once

#include "../guards/native_thread.hpp"
#include "objects.hpp"
#include <handoff/gil.hpp>

#include <benchmark/benchmark.h>
#include <chrono>
#include <ctime>
#include <string>
#include <type_traits>
#include <vector>

namespace bench {

constexpr int many = 10'000;  // of what is dropped together

/// The processor time that the calling thread has taken, in seconds.
inline double thread_time() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline double elapsed_time() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

struct held {
    template <class Library, class Work>
    static void run(Work const& work) {
        handoff::gil_acquire const gil;
        work();
    }
};

struct kept {
    template <class Library, class Work>
    static void run(Work const& work) {
        on_a_native_thread([&] {
            typename Library::kept_state const state;
            work();
        });
    }
};

struct plain {
    template <class Library, class Work>
    static void run(Work const& work) {
        on_a_native_thread(work);
    }
};

struct contended {
    template <class Library, class Work>
    static void run(Work const& work) {
        busy_python const other;
        kept::run<Library>([&] {
            other.await_its_turn();
            work();
        });
    }
};

template <class Library>
auto function() {
    handoff::gil_acquire const gil;
    return Library::function_of(passed("same"));
}

/// A call of a std::function of Python's, or the like.
template <class Library, class Place>
void call(benchmark::State& times) {
    auto const f = function<Library>();
    Place::template run<Library>([&] {
        for (auto _ : times) {
            benchmark::DoNotOptimize(f(1.5));
        }
    });
}

/// Its copy, and the copy's drop.
template <class Library, class Place>
void copy_drop(benchmark::State& times) {
    auto const f = function<Library>();
    Place::template run<Library>([&] {
        for (auto _ : times) {
            auto copy = f;
            benchmark::DoNotOptimize(copy);
        }
    });
}

template <class Library>
void copy_drop_contended(benchmark::State& times) {
    auto const f = function<Library>();
    for ([[maybe_unused]] auto _ : times) {
        contended::run<Library>([&] {
            double const begin = elapsed_time();
            for (int each = 0; each < Library::copies; ++each) {
                auto copy = f;
                benchmark::DoNotOptimize(copy);
            }
            times.SetIterationTime((elapsed_time() - begin) / Library::copies);
        });
    }
}

/// `many` of what `make` makes, which is called with the GIL held.
template <class Make>
auto made_often(Make const& make) {
    std::vector<decltype(make())> made;
    handoff::gil_acquire const gil;
    made.reserve(many);
    for (int each = 0; each < many; ++each) {
        made.push_back(make());
    }
    return made;
}

/// The drop of each of them.
template <class Library, class Place, class Make>
void drop(benchmark::State& times, Make const& make) {
    auto const now = std::is_same_v<Place, contended> ? &elapsed_time : &thread_time;
    for ([[maybe_unused]] auto _ : times) {
        auto made = made_often(make);
        Place::template run<Library>([&] {
            double const begin = now();
            made.clear();
            times.SetIterationTime((now() - begin) / many);
        });
        handoff::gil_acquire const drops_what_was_given_up;
    }
}

/// That of the last copy of a std::function of Python's.
template <class Library, class Place>
void last_drop(benchmark::State& times) {
    drop<Library, Place>(times, [] { return Library::function_of(passed("same")); });
}

/// That of a std::shared_ptr that Python passed.
template <class Library, class Place>
void pointer_drop(benchmark::State& times) {
    drop<Library, Place>(
        times, [] { return Library::pointer_of(passed(std::string(Library::name) + "_frame")); });
}

/// A call of a virtual function that Python overrides.
template <class Library, class Place>
void override_call(benchmark::State& times) {
    cost* const its = [] {
        handoff::gil_acquire const gil;
        return Library::cost_of(passed(std::string(Library::name) + "_cost"));
    }();
    Place::template run<Library>([&] {
        for (auto _ : times) {
            benchmark::DoNotOptimize(its->eval(1.5));
        }
    });
}

}  // namespace bench
