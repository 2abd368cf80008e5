// wait_causes: adds up which threads held the GIL during a wait, and in which functions.
#include "wait_causes.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string_view>
#include <utility>

namespace handoff::detail {

wait_causes::wait_causes(timeline const& shown) : shown_(shown), shares_(shown.lanes.size()) {
    for (auto const& [who, what] : shown.all_holds()) {
        holds_.push_back({.begin = what->begin,
                          .end = what->end,
                          .lane = static_cast<std::uint32_t>(who - shown.lanes.data()),
                          .hold = static_cast<std::uint32_t>(what - who->holds.data())});
    }
}

culprit wait_causes::of(timeline::wait const& waited) {
    auto each = std::ranges::upper_bound(holds_, waited.begin, {}, &holding::begin);
    if (each != holds_.begin()) {
        --each;
    }
    std::uint64_t free = waited.end - waited.begin;
    for (; each != holds_.end() && each->begin < waited.end; ++each) {
        auto const from = std::max(each->begin, waited.begin);
        auto const to = std::min(each->end, waited.end);
        if (to <= from) {
            continue;
        }
        free -= std::min(to - from, free);
        share& its = shares_[each->lane];
        if (its.took == 0) {
            known_.push_back(each->lane);
        }
        its.took += to - from;
        if (to - from > its.longest) {
            its.longest = to - from;
            its.hold = each->hold;
        }
    }
    culprit found{.took = free};
    for (std::uint32_t const lane : known_) {
        share const its = std::exchange(shares_[lane], {});
        if (its.took >= found.took && its.took > 0) {
            timeline::lane const& who = shown_.lanes[lane];
            found = {.who = &who, .what = &who.holds[its.hold], .took = its.took};
        }
    }
    known_.clear();
    return found;
}

namespace {

struct interval {
    std::uint64_t begin;
    std::uint64_t end;
};

/// When at least one of the program's threads waited: in order, without overlaps.
std::vector<interval> somebody_waits(timeline const& shown) {
    std::vector<interval> all;
    for (timeline::lane const& each : shown.lanes) {
        for (timeline::wait const& waited :
             each.is_giltraces() ? std::span<timeline::wait const>() : std::span(each.waits)) {
            all.push_back({.begin = waited.begin, .end = waited.end});
        }
    }
    std::ranges::sort(all, {}, &interval::begin);
    std::vector<interval> joined;
    for (interval const& each : all) {
        if (joined.empty() || joined.back().end < each.begin) {
            joined.push_back(each);
        } else {
            joined.back().end = std::max(joined.back().end, each.end);
        }
    }
    return joined;
}

/// Finds how much of an interval is covered by others, which are in order, and without overlaps.
class coverage {
public:
    explicit coverage(std::vector<interval> intervals) : intervals_(std::move(intervals)) {
        for (interval const& each : intervals_) {
            before_.push_back(sum_);
            sum_ += each.end - each.begin;
        }
    }
    [[nodiscard]] std::uint64_t sum() const { return sum_; }
    [[nodiscard]] std::uint64_t within(std::uint64_t begin, std::uint64_t end) const {
        return until(end) - until(begin);
    }

private:
    [[nodiscard]] std::uint64_t until(std::uint64_t when) const {
        auto const after = std::ranges::upper_bound(intervals_, when, {}, &interval::begin);
        if (after == intervals_.begin()) {
            return 0;
        }
        auto const last = static_cast<std::size_t>(after - intervals_.begin()) - 1;
        return before_[last] + std::min(when, intervals_[last].end) - intervals_[last].begin;
    }

    std::vector<interval> intervals_;
    std::vector<std::uint64_t> before_;  // for each: the sum of those before it
    std::uint64_t sum_ = 0;
};

struct most {
    timeline::lane const* who = nullptr;
    std::size_t count = 0;  // sums that are not zero
};

most most_of(std::vector<std::uint64_t> const& sums, timeline const& shown) {
    auto const largest = std::ranges::max_element(sums);
    return {.who = largest == sums.end() || *largest == 0
                       ? nullptr
                       : &shown.lanes[static_cast<std::size_t>(largest - sums.begin())],
            .count = sums.size() - static_cast<std::size_t>(std::ranges::count(sums, 0U))};
}

}  // namespace

worst_cause worst_cause_of(timeline const& shown) {
    coverage const waited(somebody_waits(shown));
    std::vector<std::uint64_t> held(shown.activities.size());
    std::uint64_t by_giltrace = 0;  // which is not the program's
    for (auto const& [who, what] : shown.all_holds()) {
        std::uint64_t const took = waited.within(what->begin, what->end);
        (who->is_giltraces() ? by_giltrace : held[what->activity]) += took;
    }
    auto const worst = std::ranges::max_element(held);
    worst_cause found{.activity = static_cast<std::uint32_t>(worst - held.begin()),
                      .held = *worst,
                      .waited = waited.sum() - by_giltrace};
    std::uint64_t all = 0;
    for (std::uint64_t const each : held) {
        all += each;
    }
    found.nobody = found.waited - std::min(all, found.waited);

    std::vector<interval> its;
    std::vector<std::uint64_t> lengths;
    std::vector<std::uint64_t> by_holder(shown.lanes.size());
    std::map<std::string_view, std::uint64_t> by_end;
    for (auto const& [who, what] : shown.all_holds()) {
        std::uint64_t const took = what->activity == found.activity && !who->is_giltraces()
                                       ? waited.within(what->begin, what->end)
                                       : 0;
        if (took > 0) {
            its.push_back({.begin = what->begin, .end = what->end});
            by_holder[static_cast<std::size_t>(who - shown.lanes.data())] += took;
            lengths.push_back(took);
            found.longest = std::max(found.longest, took);
            ++found.holds;
            if (std::string const* const end = shown.end_of(*what)) {
                by_end[*end] += took;
            }
        }
    }
    for (auto const& [end, took] : by_end) {
        if (2 * took > found.held) {
            found.end = end;
        }
    }
    if (!lengths.empty()) {
        auto const first = lengths.begin() + static_cast<std::ptrdiff_t>(lengths.size() / 4);
        std::ranges::nth_element(lengths, first);
        found.quartile = *first;
    }
    coverage const of_it(std::move(its));
    std::vector<std::uint64_t> by_waiter;
    for (timeline::lane const& each : shown.lanes) {
        std::uint64_t sum = 0;
        for (timeline::wait const& wait : each.waits) {
            sum += of_it.within(wait.begin, wait.end);
        }
        by_waiter.push_back(each.is_giltraces() ? 0 : sum);
    }
    most const holder = most_of(by_holder, shown);
    most const waiter = most_of(by_waiter, shown);
    found.holder = holder.who;
    found.holders = holder.count;
    found.waiter = waiter.who;
    found.waiters = waiter.count;
    return found;
}

}  // namespace handoff::detail
