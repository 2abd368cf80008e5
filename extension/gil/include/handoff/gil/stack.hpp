// stack: a thread's C++ stack, in words. Knows no Python.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fstream>
#include <link.h>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace handoff::detail {

/// Names the functions of a process, also those that their file exports to nobody: hidden, static,
/// in an anonymous namespace. Reads each file once; one that was stripped has only what it exports.
class symbols {
public:
    struct place {
        std::string function;  // demangled; empty where it has no name to be had
        std::string file;
        std::uintptr_t offset = 0;  // in the file, as `addr2line -e` takes it
    };

    /// Where an instruction is.
    [[nodiscard]] place find(void const* instruction) {
        Dl_info known{};
        void* map = nullptr;
        if (dladdr1(instruction, &known, &map, RTLD_DL_LINKMAP) == 0) {
            return {.function = {}, .file = "?", .offset = address(instruction)};
        }
        auto const& file = *static_cast<link_map const*>(map);
        bool const program = file.l_name == nullptr || *file.l_name == '\0';
        place found{.function = {},
                    .file = program ? known.dli_fname : file.l_name,
                    .offset = address(instruction) - file.l_addr};
        found.function =
            known.dli_sname != nullptr
                ? demangled(known.dli_sname)
                : demangled(own_name(program ? "/proc/self/exe" : found.file, found.offset));
        return found;
    }

private:
    struct function {
        std::uintptr_t begin;
        std::uintptr_t end;
        std::string name;
    };

    [[nodiscard]] static std::uintptr_t address(void const* instruction) noexcept {
        return reinterpret_cast<std::uintptr_t>(instruction);
    }

    [[nodiscard]] static std::string demangled(std::string const& name) {
        int status = 0;
        std::unique_ptr<char, decltype(&std::free)> const text(
            abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
        return status == 0 ? text.get() : name;
    }

    [[nodiscard]] std::string own_name(std::string const& file, std::uintptr_t offset) {
        auto const [known, is_new] = functions_.try_emplace(file);
        if (is_new) {
            known->second = read_functions(file);
        }
        for (function const& each : known->second) {
            if (each.begin <= offset && offset < each.end) {
                return each.name;
            }
        }
        return {};
    }

    /// Source: elf(5): the section SHT_SYMTAB, and the names in the section that it links to.
    [[nodiscard]] static std::vector<function> read_functions(std::string const& name) {
        std::ifstream file(name, std::ios::binary);
        auto const read = [&]<class T>(std::vector<T> into, std::uint64_t at) {
            file.seekg(static_cast<std::streamoff>(at));
            file.read(reinterpret_cast<char*>(into.data()),
                      static_cast<std::streamsize>(into.size() * sizeof(T)));
            return file ? into : std::vector<T>();
        };
        std::vector<function> functions;
        auto const header = read(std::vector<ElfW(Ehdr)>(1), 0);
        if (header.empty() || header[0].e_shentsize != sizeof(ElfW(Shdr))) {
            return functions;
        }
        auto const sections = read(std::vector<ElfW(Shdr)>(header[0].e_shnum), header[0].e_shoff);
        for (auto const& section : sections) {
            if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) {
                continue;
            }
            auto const& strings = sections[section.sh_link];
            auto const names = read(std::vector<char>(strings.sh_size), strings.sh_offset);
            for (auto const& symbol :
                 read(std::vector<ElfW(Sym)>(section.sh_size / sizeof(ElfW(Sym))),
                      section.sh_offset)) {
                if ((symbol.st_info & 0xf) == STT_FUNC && symbol.st_name < names.size()) {
                    functions.push_back({.begin = symbol.st_value,
                                         .end = symbol.st_value + symbol.st_size,
                                         .name = names.data() + symbol.st_name});
                }
            }
        }
        return functions;
    }

    std::map<std::string, std::vector<function>> functions_;
};

/// One line for each frame, the innermost first, as backtrace() gives them.
[[nodiscard]] inline std::string stack_text(symbols& names, std::span<void* const> frames) {
    std::string text;
    for (std::size_t n = 0; n < frames.size(); ++n) {
        // A return address is that of the next instruction, which may be another function's.
        auto const* const call = static_cast<char const*>(frames[n]) - (n == 0 ? 0 : 1);
        symbols::place const place = names.find(call);
        std::array<char, 24> offset{};
        std::snprintf(offset.data(), offset.size(), "+0x%jx", std::uintmax_t{place.offset});
        text += "  #" + std::to_string(n) + "  " +
                (place.function.empty() ? "??" : place.function) + "  in " + place.file +
                offset.data() + "\n";
    }
    return text;
}

/// The calling thread's stack, without this function's own frame.
[[nodiscard, gnu::noinline]] inline std::string stack_text() {
    std::array<void*, 100> frames{};
    int const count = backtrace(frames.data(), static_cast<int>(frames.size()));
    symbols names;
    return stack_text(names, std::span(frames).first(static_cast<std::size_t>(count)).subspan(1));
}

}  // namespace handoff::detail
