// mapped_array: room that needs no allocator, for code that an allocator may call.
#pragma once

#include <cstddef>
#include <new>
#include <sys/mman.h>
#include <type_traits>

namespace handoff::detail {

/// A number of T, all bytes zero, that never moves and lives forever. Only the pages that were
/// written take memory. Throws: std::bad_alloc.
template <class T>
class mapped_array {
    static_assert(std::is_trivially_destructible_v<T>);

public:
    explicit mapped_array(std::size_t count)
        : first_(static_cast<T*>(mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))),
          count_(count) {
        if (static_cast<void*>(first_) == MAP_FAILED) {
            throw std::bad_alloc();
        }
    }

    [[nodiscard]] T& operator[](std::size_t index) const noexcept { return first_[index]; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

private:
    T* first_;
    std::size_t count_;
};

}  // namespace handoff::detail
