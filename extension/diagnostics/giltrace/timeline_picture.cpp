// timeline_picture: a timeline as one SVG, for a document; what is under the pointer says what it
// is.
#include "timeline_output.hpp"

#include <algorithm>
#include <cmath>

namespace handoff::detail {

namespace {

constexpr double left = 160;   // pixels, for the threads' names
constexpr double width = 960;  // of all of the time
constexpr double top = 26;     // for the time's axis
constexpr double lane_height = 26;
constexpr double thinnest = 0.5;
constexpr auto hold_colour = "#0072b2";  // of Okabe and Ito's, as on the page
constexpr auto wait_colour = "#e69f00";
constexpr auto ask_colour = "#d55e00";

std::string escaped(std::string_view text) {
    std::string made;
    for (char const each : text) {
        switch (each) {
            case '&':
                made += "&amp;";
                break;
            case '<':
                made += "&lt;";
                break;
            case '>':
                made += "&gt;";
                break;
            default:
                // Nothing else that XML 1.0 forbids, nor half a character of UTF-8.
                made += static_cast<unsigned char>(each) < 0x20 && each != '\n' ? ' ' : each;
        }
    }
    return made;
}

/// Draws into a file; times to pixels.
class pen {
public:
    pen(timeline const& shown, std::FILE* to)
        : shown_(shown),
          to_(to),
          scale_(width / static_cast<double>(std::max<std::uint64_t>(shown.end - shown.begin, 1))) {
    }

    [[nodiscard]] double x(std::uint64_t when) const {
        return left + static_cast<double>(when - shown_.begin) * scale_;
    }

    /// Leaves out what is too thin to be seen beside the interval before.
    template <class Interval>
    void interval(Interval const& each, double y, double height, char const* colour,
                  std::string const& what) {
        double const from = x(each.begin);
        double const to = x(each.end);
        if (to < drawn_to_ + thinnest && drawn_to_ > 0) {
            return;
        }
        drawn_to_ = std::max(to, from + thinnest);
        std::fprintf(to_,
                     "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\">"
                     "<title>%s for %s, from %s on</title></rect>\n",
                     from, y, drawn_to_ - from, height, colour, escaped(what).c_str(),
                     in_words(each.end - each.begin).c_str(),
                     in_words(each.begin - shown_.begin).c_str());
    }

    void begin_row() { drawn_to_ = 0; }

private:
    timeline const& shown_;
    std::FILE* to_;
    double scale_;
    double drawn_to_ = 0;
};

void draw_axis(timeline const& shown, pen const& on, double bottom, std::FILE* to) {
    auto const all = static_cast<double>(shown.end - shown.begin);
    double const power = std::pow(10, std::floor(std::log10(std::max(all / 8, 1.0))));
    double distance = power;
    for (double const factor : {2.0, 5.0, 10.0}) {
        if (distance < all / 8) {
            distance = power * factor;
        }
    }
    for (int each = 0; each * distance <= all; ++each) {
        double const at = each * distance;
        double const x = on.x(shown.begin + static_cast<std::uint64_t>(at));
        std::fprintf(to,
                     "<line x1=\"%.2f\" x2=\"%.2f\" y1=\"%.0f\" y2=\"%.0f\" stroke=\"#ccc\"/>"
                     "<text x=\"%.2f\" y=\"14\">%s</text>\n",
                     x, x, top - 6, bottom, x + 3,
                     in_words(static_cast<std::uint64_t>(at)).c_str());
    }
}

}  // namespace

void write_picture(timeline const& shown, std::FILE* to) {
    double const bottom = top + lane_height * static_cast<double>(shown.lanes.size());
    double const height = bottom + 30;
    std::fprintf(to,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                 "font-family=\"sans-serif\" font-size=\"12\">\n"
                 "<!-- written by giltrace -->\n"
                 "<desc>%s</desc>\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                 left + width + 20, height, escaped(summary_of(shown)).c_str());
    pen draw(shown, to);
    if (shown.lost != 0) {
        double const from = draw.x(shown.gap_begin);
        std::fprintf(to,
                     "<rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%.0f\" fill=\"#ddd\">"
                     "<title>events are missing</title></rect>\n",
                     from, top, std::max(draw.x(shown.gap_end) - from, thinnest), bottom - top);
    }
    draw_axis(shown, draw, bottom, to);
    double y = top;
    for (timeline::lane const& each : shown.lanes) {
        std::fprintf(
            to, "<g class=\"lane\"><text x=\"%.0f\" y=\"%.2f\" text-anchor=\"end\">%s %d</text>\n",
            left - 8, y + lane_height * 0.65, escaped(each.name).c_str(), each.thread);
        draw.begin_row();
        for (timeline::wait const& waited : each.waits) {
            draw.interval(waited, y + lane_height * 0.6, lane_height * 0.25, wait_colour,
                          "waits for the GIL");
        }
        draw.begin_row();
        for (timeline::hold const& held : each.holds) {
            draw.interval(held, y + lane_height * 0.15, lane_height * 0.7, hold_colour,
                          shown.name_of(held) + " holds the GIL");
        }
        double drawn = 0;
        for (std::uint64_t const when : each.asked) {
            if (double const x = draw.x(when); x > drawn + thinnest) {
                drawn = x;
                std::fprintf(to, "<path d=\"M%.2f %.2f v%.2f\" stroke=\"%s\"/>\n", x,
                             y + lane_height * 0.4, lane_height * 0.45, ask_colour);
            }
        }
        std::fputs("</g>\n", to);
        y += lane_height;
    }
    double x = left;
    for (auto const& [colour, means] :
         {std::pair(hold_colour, "holds the GIL"), std::pair(wait_colour, "waits for it"),
          std::pair(ask_colour, "asks the holder to drop it")}) {
        std::fprintf(to,
                     "<rect x=\"%.0f\" y=\"%.0f\" width=\"12\" height=\"12\" fill=\"%s\"/>"
                     "<text x=\"%.0f\" y=\"%.0f\">%s</text>\n",
                     x, bottom + 12, colour, x + 18, bottom + 22, means);
        x += 180;
    }
    std::fputs("</svg>\n", to);
}

}  // namespace handoff::detail
