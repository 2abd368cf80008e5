// own_memory: reads an address of this process that may be unmapped by now.
#pragma once

#include <cstddef>
#include <cstdint>

namespace handoff::detail {

/// Copies what is at an address. Returns whether it did; if not, nothing is there, or the system
/// does not say. Threads: any. GIL: any; not touched. Source: process_vm_readv(2), which does not
/// fault.
[[nodiscard]] bool copy_memory(std::uintptr_t address, void* to, std::size_t size) noexcept;

/// The number of 32 bits that is there; 0: it cannot be copied. Otherwise like copy_memory().
[[nodiscard]] int number_at(std::uintptr_t address) noexcept;

/// The same for a pointer.
[[nodiscard]] std::uintptr_t pointer_at(std::uintptr_t address) noexcept;

}  // namespace handoff::detail
