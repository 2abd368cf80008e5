// wait_causes: which holders made threads wait for the GIL.
#pragma once

#include "timeline.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace handoff::detail {

/// The cause of a wait.
struct culprit {
    timeline::lane const* who = nullptr;   // null: most of it nobody held the GIL, as who was to
                                          // take it did not run: the system ran others
    timeline::hold const* what = nullptr;  // of who's holds the one that took most of the wait
    std::uint64_t took = 0;  // of the wait: how long who, or nobody, held the GIL
};

/// For each wait in turn. Takes time in proportion to the number of holds during the wait, however
/// many threads there are.
class wait_causes {
public:
    /// REQUIRES: `shown` outlives it, and stays as it is.
    explicit wait_causes(timeline const& shown);

    [[nodiscard]] culprit of(timeline::wait const& waited);

private:
    struct holding {
        std::uint64_t begin;
        std::uint64_t end;
        std::uint32_t lane;
        std::uint32_t hold;  // of the lane's
    };
    struct share {
        std::uint64_t took = 0;
        std::uint64_t longest = 0;
        std::uint32_t hold = 0;  // that was the longest
    };

    timeline const& shown_;
    std::vector<holding> holds_;  // in their order
    std::vector<share> shares_;  // of each lane; zero between two waits
    std::vector<std::uint32_t> known_;  // lanes whose share is not zero
};

/// What cost most: an activity that held the GIL while others waited.
struct worst_cause {
    std::uint32_t activity = 0;
    std::size_t holds = 0;
    std::uint64_t held = 0;  // while others waited; zero: nobody held it then
    std::uint64_t longest = 0;  // of one hold
    std::uint64_t quartile = 0;  // of four holds three took so long at least
    std::string end{};  // where in Python most of that ended; empty: in no one line, or unknown
    timeline::lane const* holder = nullptr;  // the thread that did it most
    std::size_t holders = 0;
    timeline::lane const* waiter = nullptr;  // the thread that waited most for it
    std::size_t waiters = 0;

    std::uint64_t waited = 0;  // while at least one thread waited; not for giltrace itself
    std::uint64_t nobody = 0;  // of that: nobody held it
};

[[nodiscard]] worst_cause worst_cause_of(timeline const& shown);

}  // namespace handoff::detail
