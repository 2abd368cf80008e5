// line_information: by the names and kinds of the file's sections.
#include "line_information.hpp"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <ios>
#include <link.h>
#include <string_view>
#include <vector>

namespace handoff::detail {

namespace {

/// What the file has at a place; empty: it ends before.
template <class T>
std::vector<T> read_at(std::ifstream& file, std::uint64_t place, std::size_t count) {
    std::vector<T> content(count);
    file.seekg(static_cast<std::streamoff>(place));
    file.read(reinterpret_cast<char*>(content.data()),
              static_cast<std::streamsize>(count * sizeof(T)));
    return file ? content : std::vector<T>();
}

}  // namespace

line_information line_information_in(std::string const& file) {
    std::ifstream content(file, std::ios::binary);
    auto const header = read_at<ElfW(Ehdr)>(content, 0, 1);
    if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0 ||
        header[0].e_shentsize != sizeof(ElfW(Shdr))) {
        return {};
    }
    auto const sections =
        read_at<ElfW(Shdr)>(content, header[0].e_shoff, std::size_t{header[0].e_shnum});
    if (header[0].e_shstrndx >= sections.size()) {
        return {};
    }
    auto const& strings = sections[header[0].e_shstrndx];
    auto names = read_at<char>(content, strings.sh_offset, strings.sh_size);
    names.push_back('\0');
    line_information found{.is_read = true};
    for (auto const& each : sections) {
        std::string_view const name =
            each.sh_name < names.size() ? names.data() + each.sh_name : "";
        found.has_lines = found.has_lines || name == ".debug_line" || name == ".zdebug_line";
        found.has_names = found.has_names || each.sh_type == SHT_SYMTAB;
    }
    return found;
}

}  // namespace handoff::detail
