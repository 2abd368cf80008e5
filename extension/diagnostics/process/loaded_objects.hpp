// loaded_objects: the ELF objects of this process, and the slots through which they call others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <link.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace handoff::detail {

/// A program or shared library that is loaded. Valid only while it is loaded: within
/// for_each_loaded_object(), or if the caller knows that it stays.
///
/// Source: elf(5), the System V ABI's chapter on dynamic linking, and for the hash table
///         https://flapenguin.me/elf-dt-gnu-hash.
class loaded_object {
public:
    /// A pointer in the global offset table through which the object reaches another's symbol.
    struct slot {
        char const* name;
        void** where;
        bool for_calls;  // only; if not, its address may also be compared
    };

    explicit loaded_object(dl_phdr_info const& described) noexcept;

    /// Empty: the program itself.
    [[nodiscard]] char const* path() const noexcept { return path_; }
    [[nodiscard]] bool contains(void const* address) const noexcept;

    /// What it exports under a name.
    struct symbol {
        void* address = nullptr;  // null: nothing
        std::size_t size = 0;     // bytes
        bool is_function = false;
    };
    [[nodiscard]] symbol find(std::string_view name) const noexcept;

    void for_each_slot(std::function<void(slot const&)> const& tell) const;

    /// While one of these lives, the slots can be written, even if the loader made them read-only.
    class writable {
    public:
        explicit writable(loaded_object const& made) noexcept;
        ~writable();
        writable(writable const&) = delete;
        writable& operator=(writable const&) = delete;

        [[nodiscard]] explicit operator bool() const noexcept { return done_; }

        /// Makes calls through the slot go to that function. A thread that finds it there also
        /// finds everything that was written before, in whatever order its processor reads.
        void put(slot const& into, void* function) const noexcept;

    private:
        std::uintptr_t begin_ = 0;
        std::size_t length_ = 0;
        bool done_ = true;
    };

private:
    template <class T>
    [[nodiscard]] T const* at(ElfW(Addr) address) const noexcept;

    char const* path_;
    std::uintptr_t base_;
    std::span<ElfW(Phdr) const> segments_;
    ElfW(Sym) const* symbols_ = nullptr;
    char const* names_ = nullptr;
    std::uint32_t const* gnu_hash_ = nullptr;
    std::span<ElfW(Rela) const> relocations_;       // of data
    std::span<ElfW(Rela) const> call_relocations_;  // of the procedure linkage table
};

/// Each, in the order of loading; nothing is loaded or unloaded meanwhile.
void for_each_loaded_object(std::function<void(loaded_object const&)> const& tell);

/// Counts the objects that were ever loaded: changes when there is a new one.
[[nodiscard]] unsigned long long loads_so_far();

}  // namespace handoff::detail
