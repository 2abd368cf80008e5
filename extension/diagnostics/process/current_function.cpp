// current_function: the layouts of each version's objects, and how to follow them.
#include "current_function.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace handoff::detail {

namespace {

// What is the same in all of them.
constexpr int bytes_content = 16;  // after the size
constexpr int text_state = 16;     // the same
constexpr unsigned char owned_by_the_interpreter = 3;  // and above: no function's
constexpr std::uintptr_t tags = 3;  // of a _PyStackRef
constexpr int pointer_size = sizeof(void*);

constexpr handoff_python_layout python_3_11{.version = 0x030B,
                                            .object_type = 8,
                                            .thread_next = 8,
                                            .thread_state = -1,
                                            .thread_number = -1,
                                            .thread_frame = 56,
                                            .cframe_frame = 8,
                                            .frame_executable = 32,
                                            .frame_previous = 48,
                                            .frame_owner = 69,
                                            .frame_instruction = 56,
                                            .frame_copy = -1,
                                            .code_line = 72,
                                            .code_lines = 136,
                                            .code_file = 112,
                                            .code_name = 128,
                                            .code_instructions = 184,
                                            .code_copies = -1,
                                            .size_of_object = 16,
                                            .text_ascii = 48,
                                            .text_other = 72};
constexpr handoff_python_layout python_3_12 = [] {
    auto layout = python_3_11;
    layout.version = 0x030C;
    layout.cframe_frame = 0;
    layout.frame_executable = 0;
    layout.frame_previous = 8;
    layout.frame_owner = 70;
    layout.code_line = 68;
    layout.code_instructions = 192;
    layout.text_ascii = 40;
    layout.text_other = 56;
    return layout;
}();
constexpr handoff_python_layout python_3_13 = [] {
    auto layout = python_3_12;
    layout.version = 0x030D;
    layout.thread_frame = 72;
    layout.cframe_frame = -1;
    layout.code_instructions = 200;
    return layout;
}();
constexpr handoff_python_layout python_3_14 = [] {
    auto layout = python_3_13;
    layout.version = 0x030E;
    layout.thread_state = 44;
    layout.thread_number = 160;
    layout.frame_owner = 74;
    layout.code_instructions = 208;
    return layout;
}();
constexpr handoff_python_layout python_3_15 = [] {
    auto layout = python_3_14;
    layout.version = 0x030F;
    layout.thread_state = 48;
    layout.thread_number = 184;
    return layout;
}();
constexpr std::array layouts{python_3_11, python_3_12, python_3_13, python_3_14, python_3_15};

/// In a free-threaded build each object has a longer head, and each thread its own copy of the
/// code.
constexpr handoff_python_layout without_gil(handoff_python_layout layout) {
    for (int* const each : {&layout.object_type, &layout.code_line, &layout.code_lines,
                            &layout.code_file, &layout.code_name, &layout.code_instructions,
                            &layout.size_of_object, &layout.text_ascii, &layout.text_other}) {
        *each += 16;
    }
    layout.frame_owner += 4;
    layout.frame_copy = 72;
    layout.code_instructions += 8;
    layout.code_copies = 224;
    return layout;
}
constexpr std::array free_threaded{without_gil(python_3_14), without_gil(python_3_15)};

template <class Value>
Value read(void const* object, int offset) noexcept {
    Value value;
    std::memcpy(static_cast<void*>(&value), static_cast<char const*>(object) + offset,
                sizeof value);
    return value;
}

/// A compact str, as all of a code object's are: the width of its characters, and the characters.
struct text {
    unsigned width = 0;
    void const* characters = nullptr;
    std::size_t length;

    text(void const* str, handoff_python_layout const& layout) noexcept
        : length(read<std::size_t>(str, layout.size_of_object)) {
        // Whether it is interned has two bits, or a byte of its own; then come the width of its
        // characters, whether it is compact, and whether all are ASCII.
        unsigned const state = read<unsigned>(str, layout.size_of_object + text_state) >>
                               (layout.frame_copy < 0 ? 2U : 8U);
        width = state & 7U;
        characters = static_cast<char const*>(str) +
                     ((state & 0x10U) != 0 ? layout.text_ascii : layout.text_other);
    }

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

/// The next number of a table of lines: six bits per byte, the lowest first; the seventh bit says
/// that more bytes follow.
unsigned number_in(unsigned char const*& place, unsigned char const* end) noexcept {
    unsigned number = 0;
    bool more = true;
    for (unsigned shift = 0; more && place != end && shift < 32; shift += 6) {
        number |= (*place & 0x3FU) << shift;
        more = (*place++ & 0x40U) != 0;
    }
    return number;
}

/// The line of an instruction. Returns: 0: it belongs to no line.
/// Source: CPython's InternalDocs/code_objects.md, in 3.11 Objects/locations.md.
int line_of(std::size_t instruction, int first_line, unsigned char const* place,
            unsigned char const* end) noexcept {
    constexpr unsigned one_line = 10;     // and the two above: that many lines further
    constexpr unsigned no_columns = 13;   // a signed number of lines, like the next
    constexpr unsigned with_columns = 14;
    constexpr unsigned no_line = 15;
    int line = first_line;
    std::size_t covered = 0;  // two bytes each
    while (place != end) {
        unsigned const begins = *place++;
        unsigned const kind = begins >> 3U & 15U;
        covered += (begins & 7U) + 1;
        if (kind == no_columns || kind == with_columns) {
            unsigned const number = number_in(place, end);
            int const lines = static_cast<int>(number >> 1U);
            line += (number & 1U) != 0 ? -lines : lines;
        } else if (kind >= one_line && kind < no_columns) {
            line += static_cast<int>(kind - one_line);
        }
        if (instruction < covered) {
            return kind == no_line ? 0 : line;
        }
        while (place != end && (*place & 0x80U) == 0) {  // the columns
            ++place;
        }
    }
    return 0;
}

}  // namespace

handoff_python_layout const* function_reader::layout_of(unsigned long version,
                                                        bool is_free_threaded) noexcept {
    auto const known = is_free_threaded ? std::span<handoff_python_layout const>(free_threaded)
                                        : std::span<handoff_python_layout const>(layouts);
    auto const found = std::ranges::find(known, version >> 16U, &handoff_python_layout::version);
    return found == known.end() ? nullptr : &*found;
}

function_reader::function_reader(running_python const& python) noexcept
    : code_type_(python.object.find("PyCode_Type").address) {
    void const* const type_type = python.object.find("PyType_Type").address;
    auto const* const layout = layout_of(python.version, python.is_free_threaded);
    // If references are traced, each object begins with two more pointers.
    if (code_type_ != nullptr && layout != nullptr &&
        read<void const*>(code_type_, layout->object_type) == type_type) {
        layout_ = layout;
    }
}

function_reader::python_frame function_reader::innermost(void const* state) const noexcept {
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
        if (code != nullptr && read<void const*>(code, layout_->object_type) == code_type_) {
            return {.its = frame, .code = code};
        }
    }
    return {};
}

python_function function_reader::current(void const* state) const noexcept {
    void const* const code = innermost(state).code;
    if (code == nullptr) {
        return {};
    }
    return {.code = code,
            .name = read<void const*>(code, layout_->code_name),
            .file = read<void const*>(code, layout_->code_file),
            .line = read<int>(code, layout_->code_line)};
}

char const* function_reader::first_instruction(void const* frame, void const* code) const noexcept {
    auto const copy = layout_->frame_copy < 0 ? 0 : read<std::int32_t>(frame, layout_->frame_copy);
    if (copy == 0) {
        return static_cast<char const*>(code) + layout_->code_instructions;
    }
    void const* const copies = read<void const*>(code, layout_->code_copies);
    return copies == nullptr ? nullptr : read<char const*>(copies, (1 + copy) * pointer_size);
}

int function_reader::current_line(void const* state) const noexcept {
    auto const [its, code] = innermost(state);
    if (code == nullptr) {
        return 0;
    }
    auto const* const instruction = read<char const*>(its, layout_->frame_instruction);
    char const* const first = first_instruction(its, code);
    void const* const lines = read<void const*>(code, layout_->code_lines);
    if (first == nullptr || instruction < first || lines == nullptr) {
        return 0;
    }
    auto const* const table =
        static_cast<unsigned char const*>(lines) + layout_->size_of_object + bytes_content;
    return line_of(static_cast<std::size_t>(instruction - first) / 2,
                   read<int>(code, layout_->code_line), table,
                   table + read<std::size_t>(lines, layout_->size_of_object));
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

void function_reader::write_place(python_function const& function, int line,
                                  std::span<char> to) const noexcept {
    constexpr std::size_t number = 16;
    char* end = write_utf8(function.name, to.first(to.size() / 2));
    *end++ = '\n';
    end = write_utf8(function.file, {end, to.data() + to.size() - number});
    std::snprintf(end, number, ":%d", line);
}

std::string place_in_words(std::string_view written) {
    auto const end = std::min(written.find('\n'), written.size());
    std::string_view const place = written.substr(std::min(end + 1, written.size()));
    return std::string(written.substr(0, end)).append(" (").append(place).append(")");
}

}  // namespace handoff::detail
