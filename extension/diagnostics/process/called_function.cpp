// called_by(): reads the call, the entry of the table that it goes to, and the entry's pointer.
#include "called_function.hpp"

#include "call_frames.hpp"
#include "own_memory.hpp"

#include <cstdint>

namespace handoff::detail {

#if defined(__aarch64__)

namespace {

constexpr std::uintptr_t size_of_instruction = 4;  // bytes

std::uint32_t instruction_at(std::uintptr_t address) noexcept {
    return static_cast<std::uint32_t>(number_at(address));
}

/// The number that an instruction has in some bits, which may be negative, times a scale.
constexpr std::int64_t offset_in(std::uint64_t bits, unsigned count, std::int64_t scale) noexcept {
    std::uint64_t const sign = std::uint64_t{1} << (count - 1);
    return (static_cast<std::int64_t>(bits ^ sign) - static_cast<std::int64_t>(sign)) * scale;
}
static_assert(offset_in(3, 2, 4) == -4 && offset_in(1, 2, 4) == 4);

/// Where `bl` goes to; 0: it is no `bl`.
std::uintptr_t target_of_call(std::uintptr_t address) noexcept {
    std::uint32_t const call = instruction_at(address);
    static constexpr unsigned bits = 26;
    return call >> bits == 0b100101U
               ? address + static_cast<std::uintptr_t>(
                               offset_in(call & ((1U << bits) - 1), bits, size_of_instruction))
               : 0;
}

/// The pointer that an entry of the table jumps to: `adrp x16, page`, `ldr x17, [x16, #offset]`,
/// and before them `bti c`, if the processor checks jumps. Returns: 0 if this is another code.
std::uintptr_t pointer_of_entry(std::uintptr_t address) noexcept {
    static constexpr std::uint32_t bti_c = 0xd503245f;
    address += instruction_at(address) == bti_c ? size_of_instruction : 0;
    std::uint32_t const page = instruction_at(address);
    std::uint32_t const load = instruction_at(address + size_of_instruction);
    if ((page & 0x9f00001fU) != 0x90000010U || (load & 0xffc003ffU) != 0xf9400211U) {
        return 0;
    }
    static constexpr std::int64_t page_size = 4096;
    std::uint64_t const pages = ((page >> 5U & 0x7ffffU) << 2U) | (page >> 29U & 3U);
    auto const offset = (load >> 10U & 0xfffU) * sizeof(std::uintptr_t);
    return (address & ~static_cast<std::uintptr_t>(page_size - 1)) +
           static_cast<std::uintptr_t>(offset_in(pages, 21, page_size)) + offset;
}

}  // namespace

#endif

std::string called_by([[maybe_unused]] void const* return_address) {
    std::string name;
#if defined(__aarch64__)
    auto const target =
        target_of_call(reinterpret_cast<std::uintptr_t>(return_address) - size_of_instruction);
    auto const pointer = target == 0 ? 0 : pointer_of_entry(target);
    if (auto const function = pointer == 0 ? 0 : pointer_at(pointer)) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader wrote it
        name = place_of(reinterpret_cast<void const*>(function)).exported;
    }
#endif
    return name;
}

}  // namespace handoff::detail
