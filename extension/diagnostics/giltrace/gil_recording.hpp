// gil_recording: every event of the GIL, in a file that can be read whatever becomes of the
// process.
#pragma once

#include "running_python.hpp"
#include "tick_clock.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/types.h>

namespace handoff::detail {

/// What the file consists of, as it is in memory: a page for the header, then chunks, of events of
/// one thread each, or of names. What was not written is zero.
namespace recorded {

inline constexpr std::uint32_t version = 2;
inline constexpr std::size_t page = 4096;  // bytes
inline constexpr std::size_t largest_chunk = 16 * page;
inline constexpr std::size_t thread_name = 16;  // bytes, with the zero

struct header {
    char magic[8];  // "giltrace"
    std::uint32_t version;
    pid_t process;
    moment begin;
    moment latest;            // of two moments the scale of all ticks is known
    std::uint32_t was_ended;  // at `latest`; else it is zero
    std::uint64_t lost;       // events that there was no room for
    char program[64];     // its name
};

enum class kind : std::uint32_t { nothing, waits, asks, takes, drops };

struct event {
    std::uint64_t when;  // ticks; zero: there is none
    kind what;
    std::uint32_t name;  // of a hold that ends
};

enum class content : std::uint32_t { nothing, events, names };

struct chunk {
    content what;
    std::uint32_t size;  // bytes, of all of it; a multiple of the page
    std::uint32_t lane;  // which of the process's threads; a thread's id may be used again
    pid_t thread;
    char name[thread_name];  // the thread's, as the system has it
    char unused[32];
};

/// In a chunk of names. The text follows, and zeros up to the next multiple of eight bytes.
struct name {
    std::uint32_t length;  // bytes; zero: there is none
    std::uint32_t number;  // what events call it, from 1 on, perhaps with is_label; or is_thread
                           // and a thread's id
};

inline constexpr std::uint32_t is_thread = 0x80000000U;
inline constexpr std::uint32_t is_label = 0x40000000U;  // a gil_label's, and no function's

static_assert(sizeof(event) == 16 && sizeof(chunk) == 64 && sizeof(header) <= page);

}  // namespace recorded

/// Records from now on into a file, which is written as it goes and takes 16 bytes an event; of
/// memory it takes 64 KiB a thread. A child of fork() records into a file of its own,
/// child_path(path, process).
///
/// GIL:     held.
/// Threads: one recording at a time.
/// Throws:  std::system_error, with the path: it cannot be written. std::runtime_error: this
///          Python's GIL cannot be listened to.
void start_recording(running_python const& python, std::string const& path,
                     std::string (*child_path)(std::string const& path, pid_t process));

/// Ends it. The file stays. GIL: held, or Python is gone.
/// Returns: the file's path; empty: nothing was being recorded.
std::string stop_recording();

}  // namespace handoff::detail
