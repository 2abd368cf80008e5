// timeline: what each thread did with the GIL, read from a recording.
#pragma once

#include "tick_clock.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff::detail {

struct stacks_seen;

/// All times: nanoseconds of CLOCK_MONOTONIC, as VizTracer's.
struct timeline {
    /// What a hold was for.
    struct activity {
        enum class kind : std::uint8_t { native, function, label };

        std::string name;
        kind what = kind::native;
        std::string stack{};  // of native code: the functions, a line each; empty: not known
        std::string hint{};   // how its name, or its stack, could be known better; empty: it is
    };
    struct hold {
        std::uint64_t begin;
        std::uint64_t end;
        std::uint32_t activity;  // of activities
    };
    struct wait {
        std::uint64_t begin;
        std::uint64_t end;
        bool ended_in_a_take;  // or the recording ended, or the thread, or events are missing
    };
    struct lane {
        pid_t thread = 0;
        std::string name;
        std::vector<hold> holds;
        std::vector<wait> waits;
        std::vector<std::uint64_t> asked;  // the holder of the GIL to drop it

        /// What it does is not the program's: it is the thread that records an attached process.
        /// A thread that is called giltrace may be a native one of the command of that name.
        [[nodiscard]] bool is_giltraces() const { return name == "giltrace-thread"; }
    };
    pid_t process = 0;
    std::string program;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    bool goes_on = false;  // as it is read
    bool was_ended = false;  // else the process was killed, or left, meanwhile
    std::uint64_t lost = 0;  // events that there was no room for, ...
    std::string lost_why;  // ... as the system says it, ...
    std::uint64_t gap_begin = 0;  // ... from the first of them ...
    std::uint64_t gap_end = 0;  // ... to the last: who held the GIL then is not all known
    std::string disorder;  // empty; else the first event that cannot follow the one before it
    std::vector<lane> lanes;  // in the order of their first event
    /// The name of what held the GIL when the process was killed: no more is known.
    static constexpr char const* unfinished = "a hold that did not end";

    std::vector<activity> activities;

    /// Throws: std::system_error, std::runtime_error: it cannot be read, or is no recording.
    static timeline read(std::string const& path);

    /// Of one that goes on, up to that moment. REQUIRES: nothing in it is used again meanwhile.
    static timeline read(std::string const& path, moment until);

    /// Where in Python a long hold ended: a function and the line that it executed. Null: unknown.
    [[nodiscard]] std::string const* end_of(hold const& held) const {
        auto const known = ends_.find(&held);
        return known == ends_.end() ? nullptr : &known->second;
    }

    [[nodiscard]] std::string const& name_of(hold const& held) const {
        return activities.at(held.activity).name;
    }

    /// Empty, or what cannot be: two threads held the GIL at once, or `disorder`.
    [[nodiscard]] std::string contradiction() const;

    /// Whether events are missing that were within an interval.
    template <class Interval>
    [[nodiscard]] bool is_incomplete(Interval const& each) const {
        return lost != 0 && each.begin <= gap_end && gap_begin <= each.end;
    }

    struct holding {
        lane* who;
        hold* what;
    };
    /// All threads' holds, in their order.
    [[nodiscard]] std::vector<holding> const& all_holds() const { return all_holds_; }

private:
    static timeline read(std::string const& path, moment const* until);

    void sort_holds();
    /// Keeps what is later.
    void begin_at(std::uint64_t time);

    /// Calls holds something whose name is not in the recording.
    void name_unnamed();

    /// Calls holds after the native functions in which their threads were seen.
    void name_native_code(stacks_seen const& seen);

    std::vector<holding> all_holds_;
    std::map<hold const*, std::string> ends_;
};

}  // namespace handoff::detail
