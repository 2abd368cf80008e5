// frame_record(): where a function that keeps a frame pointer has saved its caller's.
#pragma once

#include <cstdint>
#include <span>

namespace handoff::detail {

struct address_range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;

    [[nodiscard]] bool contains(std::uintptr_t address) const noexcept {
        return begin <= address && address < end;
    }
};

#if defined(__x86_64__)
/// The frame pointer of the function in which `instruction` is: the address of its record in the
/// stack. A record is the caller's frame pointer, so the address of a record further out, and the
/// address to return to. Between the record and the stack pointer there may be old ones: only one
/// that a call of this function has made is taken.
///
/// instruction:   where the function goes on when what it has called returns.
/// stack_pointer: of the function, then.
/// code:          what may be executed.
/// Returns:       0 where there is none: the function keeps no frame pointer, or in a form of its
///                own.
/// Threads:       one that may crash, as a child does that reads a copy of the stack.
/// Source:        System V ABI for x86-64, "The Stack Frame".
[[nodiscard]] std::uintptr_t frame_record(address_range const& stack,
                                          std::span<address_range const> code,
                                          std::uintptr_t instruction,
                                          std::uintptr_t stack_pointer) noexcept;
#endif

}  // namespace handoff::detail
