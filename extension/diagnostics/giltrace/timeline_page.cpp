// timeline_page: a timeline as one page that needs no network: timeline_page.html with the data.
#include "json.hpp"
#include "timeline_output.hpp"
#include "wait_causes.hpp"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

extern char const* const handoff_timeline_page;  // made of the file when the project is built

namespace handoff::detail {

namespace {

/// A browser reads and draws at most this many intervals quickly: the longest are drawn.
constexpr std::size_t most_drawn = 1'000'000;

/// The length, in nanoseconds, that an interval must have to be one of the `most_drawn`.
std::uint64_t least_drawn(timeline const& shown) {
    std::vector<std::uint64_t> lengths;
    for (timeline::lane const& each : shown.lanes) {
        for (auto const& held : each.holds) {
            lengths.push_back(held.end - held.begin);
        }
        for (auto const& waited : each.waits) {
            lengths.push_back(waited.end - waited.begin);
        }
    }
    if (lengths.size() <= most_drawn) {
        return 0;
    }
    std::ranges::nth_element(lengths, lengths.begin() + most_drawn - 1, std::ranges::greater());
    return lengths[most_drawn - 1];
}

/// Escaped for a <script>, because "</script>" would end it.
std::string script_string(std::string_view text) {
    std::string made = json_string(text);
    for (std::size_t at = made.find('<'); at != std::string::npos; at = made.find('<', at)) {
        made.replace(at, 1, "\\u003c");
    }
    return made;
}

/// Writes a list's elements, with commas between them.
class list {
public:
    explicit list(std::FILE* to) : to_(to) { std::fputc('[', to_); }
    ~list() { std::fputc(']', to_); }
    list(list const&) = delete;
    list& operator=(list const&) = delete;

    /// Before each element.
    void next() {
        std::fputs(said_, to_);
        said_ = ",";
    }
    void add(std::uint64_t number) {
        next();
        std::fprintf(to_, "%llu", static_cast<unsigned long long>(number));
    }

private:
    std::FILE* to_;
    char const* said_ = "";
};

/// Each moment as the time since the one before, which has fewer digits.
class moments {
public:
    explicit moments(std::uint64_t begin) : latest_(begin) {}
    std::uint64_t since_latest(std::uint64_t moment) {
        return moment - std::exchange(latest_, moment);
    }

private:
    std::uint64_t latest_;
};

char const* in_words(timeline::activity::kind what) {
    switch (what) {
        case timeline::activity::kind::native:
            return "native";
        case timeline::activity::kind::function:
            return "function";
        case timeline::activity::kind::label:
            return "label";
    }
    return "";
}

void write_lane(timeline const& shown, timeline::lane const& lane, std::uint64_t least,
                wait_causes& causes, std::FILE* to) {
    std::fprintf(to, R"({"name": %s, "thread": %d, "takes": %zu, "holds": )",
                 script_string(lane.name).c_str(), lane.thread, lane.holds.size());
    {
        list holds(to);
        moments passed(shown.begin);
        for (timeline::hold const& each : lane.holds) {
            if (each.end - each.begin >= least) {
                holds.add(passed.since_latest(each.begin));
                holds.add(passed.since_latest(each.end));
                holds.add(each.activity);
            }
        }
    }
    std::fputs(", \"waits\": ", to);
    {
        list waits(to);
        moments passed(shown.begin);
        for (timeline::wait const& each : lane.waits) {
            if (each.end - each.begin >= least) {
                auto const culprit = causes.of(each);
                waits.add(passed.since_latest(each.begin));
                waits.add(passed.since_latest(each.end));
                waits.add(each.ended_in_a_take ? 1 : 0);
                // Which lane, from 1 on, and what it did; 0: mostly no thread held the GIL.
                waits.add(culprit.who == nullptr
                              ? 0
                              : static_cast<std::uint64_t>(culprit.who - shown.lanes.data()) + 1);
                waits.add(culprit.who == nullptr ? 0 : culprit.what->activity);
            }
        }
    }
    std::fputs(", \"asked\": ", to);
    {
        list asked(to);
        moments passed(shown.begin);
        for (std::uint64_t const each :
             std::span(lane.asked).first(std::min(lane.asked.size(), most_drawn))) {
            asked.add(passed.since_latest(each));
        }
    }
    std::fputc('}', to);
}

}  // namespace

void write_page(timeline const& shown, std::FILE* to) {
    std::string_view const page = handoff_timeline_page;
    static constexpr std::string_view here = "@data@";
    auto const place = page.find(here);
    std::fwrite(page.data(), 1, place, to);
    std::uint64_t const least = least_drawn(shown);
    std::fprintf(
        to,
        "{\"program\": %s, \"process\": %d, \"duration\": %llu, \"least\": %llu, "
        "\"gap\": [%llu, %llu], \"answer\": %s, \"notes\": %s, \"summary\": %s, "
        "\"activities\": ",
        script_string(shown.program).c_str(), shown.process,
        static_cast<unsigned long long>(shown.end - shown.begin),
        static_cast<unsigned long long>(least),
        static_cast<unsigned long long>(shown.lost == 0 ? 0 : shown.gap_begin - shown.begin),
        static_cast<unsigned long long>(shown.lost == 0 ? 0 : shown.gap_end - shown.begin),
        script_string(answer_of(shown)).c_str(), script_string(notes_on(shown)).c_str(),
        script_string(summary_of(shown)).c_str());
    {
        list activities(to);
        for (auto const& each : shown.activities) {
            activities.next();
            std::fprintf(to, R"({"name": %s, "kind": "%s", "stack": %s, "hint": %s})",
                         script_string(each.name).c_str(), in_words(each.what),
                         script_string(each.stack).c_str(), script_string(each.hint).c_str());
        }
    }
    std::fputs(", \"lanes\": ", to);
    {
        list lanes(to);
        wait_causes causes(shown);
        for (timeline::lane const& each : shown.lanes) {
            lanes.next();
            write_lane(shown, each, least, causes, to);
        }
    }
    std::fputc('}', to);
    std::string_view const rest = page.substr(place + here.size());
    std::fwrite(rest.data(), 1, rest.size(), to);
}

}  // namespace handoff::detail
