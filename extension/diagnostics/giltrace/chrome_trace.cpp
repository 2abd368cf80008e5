// chrome_trace: a timeline for Perfetto, vizviewer and chrome://tracing.
//
// Source: the Trace Event Format,
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#include "json.hpp"
#include "timeline_output.hpp"

namespace handoff::detail {

namespace {

/// The GIL's own threads, beside the process's: a hold is not part of one function's call, and in
/// one lane all must nest. No process or thread has so high a number (proc(5), pid_max).
constexpr unsigned beside = 0x40000000U;

double microseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }

/// Reports the progress, every million lines.
class progress {
public:
    progress(timeline const& shown, teller tell) : tell_(tell) {
        for (timeline::lane const& each : shown.lanes) {
            all_ += each.holds.size() + each.waits.size() + each.asked.size();
        }
    }
    void step() {
        if (++done_ % million == 0 && tell_ != nullptr) {
            tell_("giltrace: " + std::to_string(done_ / million) + " of " +
                  std::to_string(all_ / million) + " million lines are written\n");
        }
    }

private:
    static constexpr std::size_t million = 1'000'000;
    teller tell_;
    std::size_t all_ = 0;
    std::size_t done_ = 0;
};

}  // namespace

void write_chrome_trace(timeline const& shown, std::FILE* to, teller tell) {
    auto const process = static_cast<unsigned>(shown.process) | beside;
    std::fprintf(
        to,
        "{\"displayTimeUnit\": \"ns\", \"otherData\": {\"contradiction\": %s, \"summary\": %s}, "
        "\"traceEvents\": [\n"
        "{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": %u, \"args\": {\"name\": %s}}",
        json_string(shown.contradiction()).c_str(), json_string(summary_of(shown)).c_str(), process,
        json_string("GIL of " + shown.program + " " + std::to_string(shown.process)).c_str());
    if (shown.lost != 0) {
        // For the process, because no thread has the number zero.
        std::fprintf(to,
                     ",\n{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": %u, \"tid\": 0, "
                     "\"args\": {\"name\": \"missing\"}}"
                     ",\n{\"ph\": \"X\", \"cat\": \"gap\", \"name\": \"events are missing\", "
                     "\"pid\": %u, \"tid\": 0, \"ts\": %.3f, \"dur\": %.3f}",
                     process, process, microseconds(shown.gap_begin),
                     microseconds(shown.gap_end - shown.gap_begin));
    }
    std::vector<std::string> names;
    std::vector<std::string> stacks;
    for (auto const& each : shown.activities) {
        names.push_back(json_string(each.name));
        stacks.push_back(each.stack.empty()
                             ? std::string()
                             : R"(, "args": {"stack": )" + json_string(each.stack) + "}");
    }
    progress told(shown, tell);
    unsigned order = 0;
    for (timeline::lane const& each : shown.lanes) {
        auto const thread = static_cast<unsigned>(each.thread) | beside;
        std::fprintf(
            to,
            ",\n{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": %u, \"tid\": %u, "
            "\"args\": {\"name\": %s}}"
            ",\n{\"ph\": \"M\", \"name\": \"thread_sort_index\", \"pid\": %u, \"tid\": %u, "
            "\"args\": {\"sort_index\": %u}}",
            process, thread, json_string(in_words(each)).c_str(), process, thread, order++);
        auto const interval = [&](char const* kind, std::string const& name, auto const& shape,
                                  std::string const& arguments = {}) {
            std::fprintf(
                to,
                ",\n{\"ph\": \"X\", \"cat\": \"%s\", \"name\": %s, \"pid\": %u, \"tid\": %u, "
                "\"ts\": %.3f, \"dur\": %.3f%s}",
                kind, name.c_str(), process, thread, microseconds(shape.begin),
                microseconds(shape.end - shape.begin), arguments.c_str());
            told.step();
        };
        for (timeline::hold const& held : each.holds) {
            interval("hold", names.at(held.activity), held, stacks.at(held.activity));
        }
        for (timeline::wait const& waited : each.waits) {
            interval("wait", "\"waits for the GIL\"", waited);
        }
        for (std::uint64_t const when : each.asked) {
            std::fprintf(to,
                         ",\n{\"ph\": \"i\", \"s\": \"t\", \"cat\": \"ask\", "
                         "\"name\": \"asks for the GIL\", \"pid\": %u, \"tid\": %u, \"ts\": %.3f}",
                         process, thread, microseconds(when));
            told.step();
        }
    }
    std::fputs("\n]}\n", to);
}

}  // namespace handoff::detail
