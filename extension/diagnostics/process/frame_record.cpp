// frame_record(): on x86-64, as GCC and Clang write prologues and calls.
#include "frame_record.hpp"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <cstring>
#include <unwind.h>

namespace handoff::detail {

namespace {

using ranges = std::span<address_range const>;

template <class T>
[[gnu::no_sanitize_address]] T value_at(std::uintptr_t address) noexcept {
    T value{};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): in the copy of the stack, or in code
    std::memcpy(&value, reinterpret_cast<void const*>(address), sizeof value);
    return value;
}

bool is_code(ranges code, std::uintptr_t address) noexcept {
    return std::ranges::any_of(code, [=](auto const& each) { return each.contains(address); });
}

/// A jump of a procedure linkage table: it may lead to any function.
bool is_jump(ranges code, std::uintptr_t instruction) noexcept {
    static constexpr std::uint32_t end_of_branch = 0xFA1E0FF3;
    static constexpr std::uint8_t bound = 0xF2;
    static constexpr std::uint16_t indirect = 0x25FF;
    if (!is_code(code, instruction)) {
        return false;
    }
    instruction += value_at<std::uint32_t>(instruction) == end_of_branch ? 4 : 0;
    instruction += value_at<std::uint8_t>(instruction) == bound ? 1 : 0;
    return value_at<std::uint16_t>(instruction) == indirect;
}

/// Whether a call of that function, or a call whose code does not name its function, returns there.
/// Source: Intel's manual, CALL: E8 is relative; FF /2 is indirect, of two to seven bytes.
bool is_return_from(ranges code, std::uintptr_t function, std::uintptr_t to) noexcept {
    static constexpr std::uintptr_t longest_call = 7;
    static constexpr std::uintptr_t direct_call = 5;
    if (!is_code(code, to) || !is_code(code, to - longest_call)) {
        return false;
    }
    if (value_at<std::uint8_t>(to - direct_call) == 0xE8) {
        std::uintptr_t const called =
            to + static_cast<std::uintptr_t>(std::intptr_t{value_at<std::int32_t>(to - 4)});
        return called == function || is_jump(code, called);
    }
    for (std::uintptr_t length = 2; length <= longest_call; ++length) {
        if (value_at<std::uint8_t>(to - length) == 0xFF &&
            (unsigned{value_at<std::uint8_t>(to - length + 1)} >> 3U & 7U) == 2) {
            return true;
        }
    }
    return false;
}

/// Whether its frame begins as compilers make it: push %rbp, soon followed by mov %rsp, %rbp.
/// Assembly code, such as libffi's calls, uses the same register, but in another form.
bool keeps_frame_pointer(std::uintptr_t function, std::uintptr_t instruction) noexcept {
    static constexpr std::uint8_t push = 0x55;
    static constexpr std::array<std::uint8_t, 3> move{0x48, 0x89, 0xE5};
    static constexpr std::uintptr_t soon = 16;  // bytes
    std::uintptr_t pushed = 0;
    for (std::uintptr_t each = function; each < instruction; ++each) {
        if (pushed != 0 && each - pushed <= soon &&
            value_at<std::array<std::uint8_t, 3>>(each) == move) {
            return true;
        }
        pushed = value_at<std::uint8_t>(each) == push ? each : pushed;
    }
    return false;
}

}  // namespace

std::uintptr_t frame_record(address_range const& stack, ranges code, std::uintptr_t instruction,
                            std::uintptr_t stack_pointer) noexcept {
    static constexpr std::uintptr_t word = sizeof(std::uintptr_t);
    static constexpr std::uintptr_t far = 65536;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder's addresses are numbers
    void* const inside = reinterpret_cast<void*>(instruction - 1);
    auto const function = reinterpret_cast<std::uintptr_t>(_Unwind_FindEnclosingFunction(inside));
    if (function == 0 || !keeps_frame_pointer(function, instruction) ||
        !stack.contains(stack_pointer)) {
        return 0;
    }
    std::uintptr_t const end = std::min(stack.end, stack_pointer + far);
    for (std::uintptr_t each = stack_pointer; each + 2 * word <= end; each += word) {
        auto const outer = value_at<std::uintptr_t>(each);
        if (outer > each && stack.contains(outer) &&
            is_return_from(code, function, value_at<std::uintptr_t>(each + word))) {
            return each;
        }
    }
    return 0;
}

}  // namespace handoff::detail

#endif
