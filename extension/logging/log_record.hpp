// log_record: an element of a log_sink's queue.
#pragma once

#include "short_text.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <sys/types.h>

namespace handoff::detail {

inline constexpr std::size_t size_of_thread_name = 16;  // with its end: pthread_setname_np(3)

/// What is logged, or written to a stream.
struct log_record {
    std::string const* name;  // of the logger; null: it is text for a stream
    char const* stream;       // "stdout" or "stderr" then
    int level;
    bool nested;  // a handler has logged it
    unsigned line;
    char const* file;
    char const* function;
    std::chrono::system_clock::time_point time;
    unsigned long ident;  // Python's number of the thread: its pthread_t
    pid_t native_id;
    std::array<char, size_of_thread_name> thread_name;
    short_text text;
};

}  // namespace handoff::detail
