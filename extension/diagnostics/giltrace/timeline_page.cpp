// timeline_page: a timeline as one page that needs no network: timeline_page.html with the data.
#include "json.hpp"
#include "timeline_output.hpp"

extern char const* const handoff_timeline_page;  // made of the file when the project is built

namespace handoff::detail {

namespace {

/// As it may stand in a <script>: "</script>" would end that.
std::string script_string(std::string_view text) {
    std::string made = json_string(text);
    for (std::size_t at = made.find('<'); at != std::string::npos; at = made.find('<', at)) {
        made.replace(at, 1, "\\u003c");
    }
    return made;
}

class separator {
public:
    /// Nothing the first time, and a comma from then on.
    char const* next() {
        char const* const now = said_;
        said_ = ",";
        return now;
    }

private:
    char const* said_ = "";
};

void write_lane(timeline const& shown, timeline::lane const& lane, std::uint64_t least,
                std::FILE* to) {
    auto const number = [](std::uint64_t each) { return static_cast<unsigned long long>(each); };
    std::fprintf(to, R"({"name": %s, "thread": %d, "takes": %zu, "holds": [)",
                 script_string(lane.name).c_str(), lane.thread, lane.holds.size());
    separator comma;
    for (timeline::hold const& each : lane.holds) {
        if (each.end - each.begin >= least) {
            std::fprintf(to, "%s%llu,%llu,%u", comma.next(), number(each.begin - shown.begin),
                         number(each.end - each.begin), each.name);
        }
    }
    std::fputs("], \"waits\": [", to);
    comma = {};
    for (timeline::wait const& each : lane.waits) {
        if (each.end - each.begin >= least) {
            std::fprintf(to, "%s%llu,%llu", comma.next(), number(each.begin - shown.begin),
                         number(each.end - each.begin));
        }
    }
    std::fputs("], \"asked\": [", to);
    comma = {};
    std::size_t asked = 0;
    for (std::uint64_t const each : lane.asked) {
        if (++asked <= most_drawn) {
            std::fprintf(to, "%s%llu", comma.next(), number(each - shown.begin));
        }
    }
    std::fputs("]}", to);
}

}  // namespace

void write_page(timeline const& shown, std::FILE* to) {
    std::string_view const page = handoff_timeline_page;
    static constexpr std::string_view here = "@data@";
    auto const place = page.find(here);
    std::fwrite(page.data(), 1, place, to);
    std::uint64_t const least = least_drawn(shown);
    std::fprintf(to,
                 "{\"program\": %s, \"process\": %d, \"duration\": %llu, \"least\": %llu, "
                 "\"summary\": %s, \"names\": [",
                 script_string(shown.program).c_str(), shown.process,
                 static_cast<unsigned long long>(shown.end - shown.begin),
                 static_cast<unsigned long long>(least), script_string(summary_of(shown)).c_str());
    separator comma;
    for (std::string const& each : shown.names) {
        std::fprintf(to, "%s%s", comma.next(), script_string(each).c_str());
    }
    std::fputs("], \"lanes\": [", to);
    comma = {};
    for (timeline::lane const& each : shown.lanes) {
        std::fputs(comma.next(), to);
        write_lane(shown, each, least, to);
    }
    std::fputs("]}", to);
    std::string_view const rest = page.substr(place + here.size());
    std::fwrite(rest.data(), 1, rest.size(), to);
}

}  // namespace handoff::detail
