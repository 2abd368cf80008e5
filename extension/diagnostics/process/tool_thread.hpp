// tool_thread: a tool's own thread in the program that it observes.
#pragma once

#include "monotonic_time.hpp"

#include <chrono>
#include <csignal>
#include <pthread.h>
#include <string_view>

namespace handoff::detail {

/// Starts it, with a name of at most 15 characters; it does not receive the program's signals.
/// Returns: whether it could be started. GIL: any; not touched.
inline bool begin_tool_thread(pthread_t& begun, void* (*run)(void*), char const* name) noexcept {
    sigset_t all;
    sigset_t former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    bool const is_there = pthread_create(&begun, nullptr, run, nullptr) == 0;
    pthread_sigmask(SIG_SETMASK, &former, nullptr);
    if (is_there) {
        pthread_setname_np(begun, name);
    }
    return is_there;
}

/// The same for a thread that is never joined: it runs as long as the process.
inline bool begin_lasting_tool_thread(void* (*run)(void*), char const* name) noexcept {
    pthread_t begun{};
    return begin_tool_thread(begun, run, name) && pthread_detach(begun) == 0;
}

/// Whether a thread that receives no signals, and has this name, is a tool's.
inline bool is_name_of_tool_thread(std::string_view name) noexcept {
    return name == "gilcheck" || name == "giltrace" || name == "gilwatch";
}

/// Whether it has ended within that time, and is joined. GIL: any; not touched.
inline bool is_joined_within(pthread_t ending, std::chrono::milliseconds at_most) noexcept {
    timespec const deadline = monotonic_timespec(std::chrono::steady_clock::now() + at_most);
    return pthread_clockjoin_np(ending, nullptr, CLOCK_MONOTONIC, &deadline) == 0;
}

}  // namespace handoff::detail
