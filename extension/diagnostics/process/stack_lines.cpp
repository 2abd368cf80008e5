// stack_lines(): folds frames that are neither the user's nor directly inside them.
#include "stack_lines.hpp"

namespace handoff::detail {

std::string stack_lines(std::span<call_frame const> frames) {
    std::string text;
    call_frame const* const users = users_frame(called_by_python(frames));
    std::size_t folded = 0;
    auto const fold = [&] {
        if (folded > 0) {
            text += "         (" + std::to_string(folded) + " more of the libraries')\n";
            folded = 0;
        }
    };
    for (std::size_t each = 0; each < frames.size(); ++each) {
        call_frame const& frame = frames[each];
        bool const leads_to_users = users != nullptr && &frame + 1 == users;
        if (frame.whose == code_of::user || leads_to_users || each == 0) {
            fold();
            text.append(&frame == users ? "    > #" : "      #").append(std::to_string(each));
            text.append("  ").append(in_full(frame)).append("\n");
        } else {
            ++folded;
        }
    }
    fold();
    return text;
}

}  // namespace handoff::detail
