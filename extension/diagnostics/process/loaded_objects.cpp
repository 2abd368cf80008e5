// loaded_objects: reads what the loader reads.
#include "loaded_objects.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#if !defined(__x86_64__)
#include <cerrno>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

// The format's addresses are numbers.
// NOLINTBEGIN(performance-no-int-to-ptr)

namespace handoff::detail {

namespace {

#if defined(__x86_64__)
constexpr ElfW(Xword) jump_slot = R_X86_64_JUMP_SLOT;
constexpr ElfW(Xword) data_slot = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
constexpr ElfW(Xword) jump_slot = R_AARCH64_JUMP_SLOT;
constexpr ElfW(Xword) data_slot = R_AARCH64_GLOB_DAT;
#else
#error "the GIL checker knows the ELF relocations of x86-64 and aarch64 only"
#endif

std::uint32_t gnu_hash_of(std::string_view name) noexcept {
    std::uint32_t hash = 5381;
    for (char const each : name) {
        hash = hash * 33 + static_cast<unsigned char>(each);
    }
    return hash;
}

}  // namespace

/// glibc has made the pointers of the dynamic section absolute, except those of the vDSO.
template <class T>
T const* loaded_object::at(ElfW(Addr) address) const noexcept {
    return reinterpret_cast<T const*>(address < base_ ? base_ + address : address);
}

loaded_object::loaded_object(dl_phdr_info const& described) noexcept
    : path_(described.dlpi_name),
      base_(described.dlpi_addr),
      segments_(described.dlpi_phdr, described.dlpi_phnum) {
    auto const dynamic = std::ranges::find(segments_, PT_DYNAMIC, &ElfW(Phdr)::p_type);
    if (dynamic == segments_.end()) {
        return;
    }
    std::size_t data_bytes = 0;
    std::size_t call_bytes = 0;
    ElfW(Addr) data = 0;
    ElfW(Addr) calls = 0;
    auto const* entry = reinterpret_cast<ElfW(Dyn) const*>(base_ + dynamic->p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
        switch (entry->d_tag) {
            case DT_SYMTAB:
                symbols_ = at<ElfW(Sym)>(entry->d_un.d_ptr);
                break;
            case DT_STRTAB:
                names_ = at<char>(entry->d_un.d_ptr);
                break;
            case DT_GNU_HASH:
                gnu_hash_ = at<std::uint32_t>(entry->d_un.d_ptr);
                break;
            case DT_RELA:
                data = entry->d_un.d_ptr;
                break;
            case DT_RELASZ:
                data_bytes = entry->d_un.d_val;
                break;
            case DT_JMPREL:
                calls = entry->d_un.d_ptr;
                break;
            case DT_PLTRELSZ:
                call_bytes = entry->d_un.d_val;
                break;
            default:
                break;
        }
    }
    if (symbols_ == nullptr || names_ == nullptr) {
        return;
    }
    if (data != 0) {
        relocations_ = {at<ElfW(Rela)>(data), data_bytes / sizeof(ElfW(Rela))};
    }
    if (calls != 0) {
        call_relocations_ = {at<ElfW(Rela)>(calls), call_bytes / sizeof(ElfW(Rela))};
    }
}

bool loaded_object::contains(void const* address) const noexcept {
    auto const offset = reinterpret_cast<std::uintptr_t>(address) - base_;
    return std::ranges::any_of(segments_, [offset](ElfW(Phdr) const& each) {
        return each.p_type == PT_LOAD && offset - each.p_vaddr < each.p_memsz;
    });
}

loaded_object::symbol loaded_object::find(std::string_view name) const noexcept {
    if (gnu_hash_ == nullptr || gnu_hash_[0] == 0) {
        return {};
    }
    std::uint32_t const buckets = gnu_hash_[0];
    std::uint32_t const first_symbol = gnu_hash_[1];
    std::uint32_t const bloom_words = gnu_hash_[2];
    auto const* const bucket = gnu_hash_ + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
    auto const* const chain = bucket + buckets;
    std::uint32_t const hash = gnu_hash_of(name);
    std::uint32_t index = bucket[hash % buckets];
    for (bool more = index >= first_symbol; more; ++index) {
        std::uint32_t const there = chain[index - first_symbol];
        ElfW(Sym) const& found = symbols_[index];
        if ((there | 1U) == (hash | 1U) && found.st_shndx != SHN_UNDEF &&
            name == names_ + found.st_name) {
            return {.address = reinterpret_cast<void*>(base_ + found.st_value),
                    .size = found.st_size,
                    .is_function = ELF64_ST_TYPE(found.st_info) == STT_FUNC};
        }
        more = (there & 1U) == 0;
    }
    return {};
}

void loaded_object::for_each_slot(std::function<void(slot const&)> const& tell) const {
    auto const of = [&](std::span<ElfW(Rela) const> relocations, ElfW(Xword) type, bool for_calls) {
        for (ElfW(Rela) const& each : relocations) {
            if (ELF64_R_TYPE(each.r_info) == type) {
                tell({.name = names_ + symbols_[ELF64_R_SYM(each.r_info)].st_name,
                      .where = reinterpret_cast<void**>(base_ + each.r_offset),
                      .for_calls = for_calls});
            }
        }
    };
    of(call_relocations_, jump_slot, true);
    of(relocations_, jump_slot, true);
    of(relocations_, data_slot, false);
}

loaded_object::writable::writable(loaded_object const& made) noexcept {
    auto const relro = std::ranges::find(made.segments_, PT_GNU_RELRO, &ElfW(Phdr)::p_type);
    if (relro == made.segments_.end()) {
        return;
    }
    // As the loader protects it: whole pages, the last one only if it is full.
    auto const page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    begin_ = (made.base_ + relro->p_vaddr) & ~(page - 1);
    std::uintptr_t const end = (made.base_ + relro->p_vaddr + relro->p_memsz) & ~(page - 1);
    length_ = end > begin_ ? end - begin_ : 0;
    done_ = length_ == 0 ||
            mprotect(reinterpret_cast<void*>(begin_), length_, PROT_READ | PROT_WRITE) == 0;
}

loaded_object::writable::~writable() {
    if (done_ && length_ > 0) {
        mprotect(reinterpret_cast<void*>(begin_), length_, PROT_READ);
    }
}

/// A caller reads the slot, and the function that it finds reads what it needs. x86-64 reads in
/// that order; on other processors no fence and no dependency orders the two. So all threads are
/// fenced before the slot gets the function. Source: membarrier(2).
void loaded_object::writable::put(slot const& into, void* function) const noexcept {
#if !defined(__x86_64__)
    int const saved = errno;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
    errno = saved;
#endif
    std::atomic_ref(*into.where).store(function, std::memory_order_release);
}

void for_each_loaded_object(std::function<void(loaded_object const&)> const& tell) {
    dl_iterate_phdr(
        [](dl_phdr_info* described, std::size_t /*bytes*/, void* context) {
            (*static_cast<std::function<void(loaded_object const&)> const*>(context))(
                loaded_object(*described));
            return 0;
        },
        const_cast<std::function<void(loaded_object const&)>*>(&tell));
}

unsigned long long loads_so_far() {
    unsigned long long count = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* described, std::size_t /*bytes*/, void* context) {
            *static_cast<unsigned long long*>(context) = described->dlpi_adds;
            return 1;
        },
        &count);
    return count;
}

}  // namespace handoff::detail

// NOLINTEND(performance-no-int-to-ptr)
