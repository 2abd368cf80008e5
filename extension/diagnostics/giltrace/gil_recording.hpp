// gil_recording: every event of the GIL, in a file that stays readable if the process dies.
#pragma once

#include "running_python.hpp"
#include "tick_clock.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/types.h>

namespace handoff::detail {

/// The content of the file, as it is in memory: a page for the header, then chunks of events of one
/// thread each, or of names. What was not written is zero.
namespace recorded {

inline constexpr std::uint32_t version = 3;
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
    std::uint64_t lost;       // events that there was no room for, ...
    std::uint64_t lost_since;  // ... ticks, of the first ...
    std::uint64_t lost_until;  // ... and of the last of them
    int lost_error;            // of errno, with the first
    std::uint64_t kept;       // nanoseconds, of the end; zero: all
    char program[64];     // its name
};

/// The last two are not the thread's own events: the holder of the GIL at that moment was seen in a
/// stack, or was at a line of Python, from which native code may have been called.
enum class kind : std::uint32_t { nothing, waits, asks, takes, drops, seen, at_line };

struct event {
    std::uint64_t when;  // ticks; zero: there is none
    kind what;
    std::uint32_t name;  // of a hold that ends, of a stack, or of a line
};

enum class content : std::uint32_t { nothing, events, names };

struct chunk {
    content what;
    std::uint32_t size;  // bytes, of all of it; a multiple of the page
    std::uint32_t lane;  // which of the process's threads; a thread's id may be used again
    pid_t thread;
    char name[thread_name];  // the thread's, as the system has it
    std::uint64_t lost_since;  // ticks: from then on events of the thread are missing, up to its
                               // next chunk; zero: none
    char unused[24];
};

/// In a chunk of names. The text follows, and zeros up to the next multiple of eight bytes.
struct name {
    std::uint32_t length;  // bytes; zero: there is none
    std::uint32_t number;  // what events call it, from 1 on, with one of what follows for what is
                           // no function's; or is_thread and a thread's id
};

inline constexpr std::uint32_t is_thread = 0x80000000U;
inline constexpr std::uint32_t is_label = 0x40000000U;  // a gil_label's
/// The numbers of the places in decimal, the innermost first, with spaces between them; or "?" and
/// the reason why there are none.
inline constexpr std::uint32_t is_stack = 0x20000000U;
/// "p" or "-", for whether it is beside Python; the offset in hexadecimal, a space, the beginning
/// of its function, a space, and the file; in a second line the function's name, if it is exported.
inline constexpr std::uint32_t is_place = 0x10000000U;
/// "@", and a Python function with the line that it executes.
inline constexpr std::uint32_t is_line = 0x08000000U;
inline constexpr std::uint32_t is_of_a_kind = is_thread | is_label | is_stack | is_place | is_line;

static_assert(sizeof(event) == 16 && sizeof(chunk) == 64 && sizeof(header) <= page);

}  // namespace recorded

/// What a recording has, and keeps; each zero: never, or all.
struct recording_options {
    std::chrono::duration<double> stack_after{};  // see giltrace::options
    std::chrono::duration<double> last{};
    std::chrono::duration<double> when_wait_exceeds{};
    /// Called after such a wait, on a thread that may take its time. GIL: not held.
    void (*on_long_wait)() = nullptr;
};

/// Records from now on into a file, which is written continuously. It takes 16 bytes per event, and
/// 64 KiB of memory per thread. If it keeps only the last seconds, older chunks are reused. A child
/// of fork() records into its own file, child_path(path, process).
///
/// GIL:     held.
/// Threads: one recording at a time.
/// Throws:  std::system_error, with the path: it cannot be written. std::invalid_argument: what is
///          there is no recording, or another process writes it. std::runtime_error: this Python's
///          GIL cannot be listened to.
void start_recording(running_python const& python, std::string const& path,
                     recording_options const& wanted,
                     std::string (*child_path)(std::string const& path, pid_t process));

/// While one of these lives, the file can be read although the recording goes on: nothing in it is
/// reused.
class recording_reader {
public:
    recording_reader();
    ~recording_reader();
    recording_reader(recording_reader const&) = delete;
    recording_reader& operator=(recording_reader const&) = delete;

    /// Empty: nothing is being recorded.
    [[nodiscard]] std::string const& path() const noexcept { return path_; }
    [[nodiscard]] moment now() const noexcept { return now_; }

private:
    std::string path_;
    moment now_{};
};

/// The file that this process writes now; null: nothing is being recorded. May be called in the
/// handler of a signal that ends the process: it locks nothing.
[[nodiscard]] std::string const* recording_in_progress() noexcept;

/// Ends it. The file stays. GIL: held, or Python is gone.
/// Returns: the file's path; empty: nothing was being recorded.
std::string stop_recording();

}  // namespace handoff::detail
