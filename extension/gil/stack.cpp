// stack: dladdr() for exported functions, the file's own symbol table for the others.
#include <handoff/gil/detail/stack.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fstream>
#include <link.h>
#include <memory>

namespace handoff::detail {

namespace {

std::uintptr_t address(void const* instruction) noexcept {
    return reinterpret_cast<std::uintptr_t>(instruction);
}

/// A C function's name is also that of a type: "f" would become "float".
std::string demangled(std::string const& name) {
    if (!name.starts_with("_Z")) {
        return name;
    }
    int status = 0;
    std::unique_ptr<char, decltype(&std::free)> const text(
        abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
    return status == 0 ? text.get() : name;
}

/// The content of a file at a place; empty if the file ends before.
template <class T>
std::vector<T> read_at(std::ifstream& file, std::uint64_t place, std::size_t bytes) {
    std::vector<T> content(bytes / sizeof(T));
    file.seekg(static_cast<std::streamoff>(place));
    file.read(reinterpret_cast<char*>(content.data()),
              static_cast<std::streamsize>(content.size() * sizeof(T)));
    return file ? content : std::vector<T>();
}

}  // namespace

symbols::place symbols::find(void const* instruction) {
    Dl_info known{};
    void* map = nullptr;
    if (dladdr1(instruction, &known, &map, RTLD_DL_LINKMAP) == 0) {
        return {.function = {}, .file = "?", .offset = address(instruction)};
    }
    auto const& loaded = *static_cast<link_map const*>(map);
    bool const is_program = *loaded.l_name == '\0';
    place found{.function = {},
                .file = is_program ? known.dli_fname : loaded.l_name,
                .offset = address(instruction) - loaded.l_addr};
    found.function =
        function_at(is_program ? "/proc/self/exe" : found.file, found.offset, known.dli_sname);
    return found;
}

std::string symbols::function_at(std::string const& file, std::uintptr_t offset,
                                 char const* exported) {
    return demangled(exported != nullptr ? exported : own_name(file, offset));
}

std::string symbols::own_name(std::string const& file, std::uintptr_t offset) {
    auto const [known, is_new] = functions_.try_emplace(file);
    if (is_new) {
        known->second = read(file);
    }
    auto const named = std::ranges::find_if(known->second, [&](function const& each) {
        return each.begin <= offset && offset < each.end;
    });
    return named == known->second.end() ? std::string() : named->name;
}

/// Source: elf(5): the section SHT_SYMTAB, and the names in the section that it links to.
std::vector<symbols::function> symbols::read(std::string const& name) {
    std::vector<function> functions;
    std::ifstream file(name, std::ios::binary);
    auto const header = read_at<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
    if (header.empty() || header[0].e_shentsize != sizeof(ElfW(Shdr))) {
        return functions;
    }
    auto const sections =
        read_at<ElfW(Shdr)>(file, header[0].e_shoff, header[0].e_shnum * sizeof(ElfW(Shdr)));
    for (auto const& section : sections) {
        if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) {
            continue;
        }
        auto const& strings = sections[section.sh_link];
        auto const names = read_at<char>(file, strings.sh_offset, strings.sh_size);
        for (auto const& symbol : read_at<ElfW(Sym)>(file, section.sh_offset, section.sh_size)) {
            auto const type = ELF64_ST_TYPE(symbol.st_info);
            if ((type == STT_FUNC || type == STT_OBJECT) && symbol.st_name < names.size()) {
                functions.push_back({.begin = symbol.st_value,
                                     .end = symbol.st_value + symbol.st_size,
                                     .name = names.data() + symbol.st_name});
            }
        }
    }
    return functions;
}

std::string stack_text(symbols& names, std::span<void* const> frames) {
    std::string text;
    std::size_t number = 0;
    for (void const* const frame : frames) {
        // A return address is that of the next instruction, which may be another function's.
        bool const interrupted_there = number == 0;
        symbols::place const place =
            names.find(static_cast<char const*>(frame) - (interrupted_there ? 0 : 1));
        std::array<char, 24> offset{};
        std::snprintf(offset.data(), offset.size(), "+0x%jx\n", std::uintmax_t{place.offset});
        text.append("  #").append(std::to_string(number++)).append("  ");
        text.append(place.function.empty() ? "??" : place.function);
        text.append("  in ").append(place.file).append(offset.data());
    }
    return text;
}

[[gnu::noinline]] std::string stack_text() {
    std::array<void*, 100> frames{};
    int const count = backtrace(frames.data(), static_cast<int>(frames.size()));
    symbols names;
    return stack_text(names, std::span(frames).first(static_cast<std::size_t>(count)).subspan(1));
}

}  // namespace handoff::detail
