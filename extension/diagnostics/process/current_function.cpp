// current_function: the layouts of each version's objects, and how they are followed.
#include "current_function.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace handoff::detail {

namespace {

// What is the same in all of them.
constexpr int type_of_object = 8;
constexpr int text_length = 16;
constexpr int text_state = 32;
constexpr unsigned char owned_by_the_interpreter = 3;  // and above: no function's
constexpr std::uintptr_t tags = 3;  // of a _PyStackRef

constexpr handoff_python_layout python_3_11{.version = 0x030B,
                                            .thread_frame = 56,
                                            .cframe_frame = 8,
                                            .frame_executable = 32,
                                            .frame_previous = 48,
                                            .frame_owner = 69,
                                            .code_line = 72,
                                            .code_file = 112,
                                            .code_name = 128,
                                            .text_ascii = 48,
                                            .text_other = 72};
constexpr handoff_python_layout python_3_12{.version = 0x030C,
                                            .thread_frame = 56,
                                            .cframe_frame = 0,
                                            .frame_executable = 0,
                                            .frame_previous = 8,
                                            .frame_owner = 70,
                                            .code_line = 68,
                                            .code_file = 112,
                                            .code_name = 128,
                                            .text_ascii = 40,
                                            .text_other = 56};
constexpr handoff_python_layout python_3_13 = [] {
    auto layout = python_3_12;
    layout.version = 0x030D;
    layout.thread_frame = 72;
    layout.cframe_frame = -1;
    return layout;
}();
constexpr handoff_python_layout python_3_14 = [] {
    auto layout = python_3_13;
    layout.version = 0x030E;
    layout.frame_owner = 74;
    return layout;
}();
constexpr handoff_python_layout python_3_15 = [] {
    auto layout = python_3_14;
    layout.version = 0x030F;
    return layout;
}();
constexpr std::array layouts{python_3_11, python_3_12, python_3_13, python_3_14, python_3_15};

template <class Value>
Value read(void const* object, int offset) noexcept {
    Value value;
    std::memcpy(static_cast<void*>(&value), static_cast<char const*>(object) + offset,
                sizeof value);
    return value;
}

/// Of a str that is compact, as all of code's are: how wide its characters are, and which.
struct text {
    unsigned width;
    void const* characters;
    std::size_t length;

    text(void const* str, handoff_python_layout const& layout) noexcept
        : width(read<unsigned>(str, text_state) >> 2U & 7U),
          characters(static_cast<char const*>(str) + ((read<unsigned>(str, text_state) & 0x40U) != 0
                                                          ? layout.text_ascii
                                                          : layout.text_other)),
          length(read<std::size_t>(str, text_length)) {}

    [[nodiscard]] std::uint32_t operator[](std::size_t place) const noexcept {
        int const offset = static_cast<int>(place * width);
        return width == 1   ? read<std::uint8_t>(characters, offset)
               : width == 2 ? read<std::uint16_t>(characters, offset)
                            : read<std::uint32_t>(characters, offset);
    }
};

/// Returns: how many bytes.
std::size_t utf8_of(std::uint32_t character, std::array<char, 4>& to) noexcept {
    auto const tail = [character](unsigned shift) {
        return static_cast<char>(0x80U | (character >> shift & 0x3FU));
    };
    if (character < 0x80) {
        to = {static_cast<char>(character)};
        return 1;
    }
    if (character < 0x800) {
        to = {static_cast<char>(0xC0U | character >> 6U), tail(0)};
        return 2;
    }
    if (character < 0x10000) {
        to = {static_cast<char>(0xE0U | character >> 12U), tail(6), tail(0)};
        return 3;
    }
    to = {static_cast<char>(0xF0U | character >> 18U), tail(12), tail(6), tail(0)};
    return 4;
}

}  // namespace

handoff_python_layout const* function_reader::layout_of(unsigned long version) noexcept {
    auto const* const found =
        std::ranges::find(layouts, version >> 16U, &handoff_python_layout::version);
    return found == layouts.end() ? nullptr : found;
}

function_reader::function_reader(running_python const& python) noexcept
    : code_type_(python.object.find("PyCode_Type").address) {
    void const* const type_type = python.object.find("PyType_Type").address;
    // Where references are traced, each object begins with two pointers more.
    if (code_type_ != nullptr && read<void const*>(code_type_, type_of_object) == type_type) {
        layout_ = layout_of(python.version);
    }
}

python_function function_reader::current(void const* state) const noexcept {
    auto const* frame = read<void const*>(state, layout_->thread_frame);
    if (layout_->cframe_frame >= 0 && frame != nullptr) {
        frame = read<void const*>(frame, layout_->cframe_frame);
    }
    for (; frame != nullptr; frame = read<void const*>(frame, layout_->frame_previous)) {
        if (read<unsigned char>(frame, layout_->frame_owner) >= owned_by_the_interpreter) {
            continue;
        }
        // A pointer with a tag in its lowest bits.
        auto const* const tagged = read<char const*>(frame, layout_->frame_executable);
        void const* const code = tagged - (reinterpret_cast<std::uintptr_t>(tagged) & tags);
        if (code != nullptr && read<void const*>(code, type_of_object) == code_type_) {
            return {.code = code,
                    .name = read<void const*>(code, layout_->code_name),
                    .file = read<void const*>(code, layout_->code_file),
                    .line = read<int>(code, layout_->code_line)};
        }
    }
    return {};
}

char* function_reader::write_utf8(void const* str, std::span<char> to) const noexcept {
    text const its(str, *layout_);
    char* end = to.data();
    std::array<char, 4> bytes{};
    for (std::size_t each = 0; each < its.length; ++each) {
        std::uint32_t const character = its[each];
        bool const surrogate = character >= 0xD800 && character < 0xE000;
        std::size_t const count = utf8_of(surrogate ? 0xFFFD : character, bytes);
        if (to.data() + to.size() - end < static_cast<std::ptrdiff_t>(count)) {
            break;
        }
        end = std::copy_n(bytes.data(), count, end);
    }
    return end;
}

}  // namespace handoff::detail
