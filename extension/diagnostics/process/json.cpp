// json: escapes, and leaves nothing that is not UTF-8.
#include "json.hpp"

#include <array>
#include <cstdio>

namespace handoff::detail {

namespace {

/// The bytes of the character that begins the text; 0: it begins with none.
/// Source: RFC 3629, section 4.
std::size_t length_of_character(std::string_view text) {
    auto const byte = [&](std::size_t each) { return static_cast<unsigned char>(text[each]); };
    unsigned char const first = byte(0);
    if (first < 0x80) {
        return 1;
    }
    std::size_t const length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) {
        return 0;
    }
    for (std::size_t each = 1; each < length; ++each) {
        if ((byte(each) & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    unsigned char const second = byte(1);
    bool const is_none = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                         (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return is_none ? 0 : length;
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string json = "\"";
    while (!text.empty()) {
        std::size_t const length = length_of_character(text);
        char const first = text.front();
        if (length == 0) {
            json += "\xEF\xBF\xBD";
        } else if (first == '"' || first == '\\') {
            (json += '\\') += first;
        } else if (static_cast<unsigned char>(first) < 0x20) {
            std::array<char, 8> code{};
            std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(first));
            json += code.data();
        } else {
            json += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return json + '"';
}

}  // namespace handoff::detail
