// Reads from a module's file which Boost.Python it brings, before _imp.create_dynamic() loads it.
#include "boost_pythons.hpp"

#include "loaded_objects.hpp"
#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/python.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace handoff {

namespace {

using detail::reference;

/// A function that each Boost.Python has: boost::python::throw_error_already_set().
constexpr char const* one_of_its_functions = "_ZN5boost6python23throw_error_already_setEv";

/// A shared library's file. Its content is not trusted: nothing is read outside the file.
class library_file {
public:
    explicit library_file(char const* path) {
        int const file = open(path, O_RDONLY | O_CLOEXEC);
        struct stat its{};
        if (file >= 0 && fstat(file, &its) == 0 && its.st_size > 0) {
            auto const size = static_cast<std::size_t>(its.st_size);
            void* const mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
            if (mapped != MAP_FAILED) {
                content_ = {static_cast<std::byte const*>(mapped), size};
            }
        }
        if (file >= 0) {
            close(file);
        }
        read_dynamic_section();
    }
    ~library_file() {
        if (!content_.empty()) {
            munmap(const_cast<std::byte*>(content_.data()), content_.size());
        }
    }
    library_file(library_file const&) = delete;
    library_file& operator=(library_file const&) = delete;

    /// Whether it needs a library whose name satisfies this condition.
    template <class Holds>
    [[nodiscard]] bool needs(Holds holds) const {
        for (ElfW(Dyn) const& each : dynamic_) {
            if (each.d_tag == DT_NEEDED && holds(string(each.d_un.d_val))) {
                return true;
            }
        }
        return false;
    }

    /// Whether it defines a function of this name, and exports it.
    [[nodiscard]] bool defines(std::string_view name) const {
        // DT_GNU_HASH: numbers of buckets, first symbol, size and shift of a filter; the filter,
        // the buckets, and for each symbol its hash, whose lowest bit ends a bucket.
        auto const table = value_of(DT_GNU_HASH);
        auto const symbols = value_of(DT_SYMTAB);
        if (!table || !symbols) {
            return false;
        }
        std::uint32_t hash = 5381;
        for (char const c : name) {
            hash = hash * 33 + static_cast<unsigned char>(c);
        }
        auto const buckets = at<std::uint32_t>(*table);
        auto const first = at<std::uint32_t>(*table + 4);
        auto const filter = at<std::uint32_t>(*table + 8);
        if (!buckets || *buckets == 0 || !first || !filter) {
            return false;
        }
        ElfW(Addr) const bucket_table = *table + 16 + ElfW(Addr){*filter} * sizeof(ElfW(Addr));
        ElfW(Addr) const chain = bucket_table + ElfW(Addr){*buckets} * 4;
        auto index = at<std::uint32_t>(bucket_table + ElfW(Addr){hash % *buckets} * 4);
        if (!index || *index < *first) {
            return false;
        }
        for (;; ++*index) {
            auto const its_hash = at<std::uint32_t>(chain + ElfW(Addr){*index - *first} * 4);
            auto const symbol = at<ElfW(Sym)>(*symbols + ElfW(Addr){*index} * sizeof(ElfW(Sym)));
            if (!its_hash || !symbol) {
                return false;
            }
            if ((*its_hash | 1U) == (hash | 1U) && string(symbol->st_name) == name) {
                return symbol->st_shndx != SHN_UNDEF;
            }
            if ((*its_hash & 1U) != 0) {
                return false;
            }
        }
    }

private:
    void read_dynamic_section() {
        auto const header = in_file<ElfW(Ehdr)>(0);
        if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
            header->e_ident[EI_CLASS] != (sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32) ||
            header->e_phentsize != sizeof(ElfW(Phdr))) {
            return;
        }
        segments_ = array<ElfW(Phdr)>(header->e_phoff, header->e_phnum);
        for (ElfW(Phdr) const& each : segments_) {
            if (each.p_type == PT_DYNAMIC) {
                dynamic_ = array<ElfW(Dyn)>(each.p_offset, each.p_filesz / sizeof(ElfW(Dyn)));
            }
        }
        strings_ = value_of(DT_STRTAB);
    }

    template <class T>
    [[nodiscard]] std::optional<T> in_file(std::size_t offset) const {
        if (offset > content_.size() || content_.size() - offset < sizeof(T)) {
            return std::nullopt;
        }
        T read;
        std::memcpy(&read, content_.data() + offset, sizeof(T));
        return read;
    }

    template <class T>
    [[nodiscard]] std::span<T const> array(std::size_t offset, std::size_t count) const {
        if (offset > content_.size() || offset % alignof(T) != 0 ||
            (content_.size() - offset) / sizeof(T) < count) {
            return {};
        }
        return {reinterpret_cast<T const*>(content_.data() + offset), count};
    }

    /// Where in the file is what will be at this address; beyond the file's end if nowhere.
    [[nodiscard]] std::size_t offset_of(ElfW(Addr) address) const {
        for (ElfW(Phdr) const& each : segments_) {
            if (each.p_type == PT_LOAD && address >= each.p_vaddr &&
                address - each.p_vaddr < each.p_filesz) {
                return each.p_offset + (address - each.p_vaddr);
            }
        }
        return content_.size();
    }

    template <class T>
    [[nodiscard]] std::optional<T> at(ElfW(Addr) address) const {
        return in_file<T>(offset_of(address));
    }

    [[nodiscard]] std::optional<ElfW(Addr)> value_of(ElfW(Sxword) tag) const {
        for (ElfW(Dyn) const& each : dynamic_) {
            if (each.d_tag == tag) {
                return each.d_un.d_ptr;
            }
        }
        return std::nullopt;
    }

    [[nodiscard]] std::string_view string(std::size_t index) const {
        std::size_t const offset = strings_ ? offset_of(*strings_ + index) : content_.size();
        if (offset >= content_.size()) {
            return {};
        }
        auto const* const begin = reinterpret_cast<char const*>(content_.data() + offset);
        return {begin, strnlen(begin, content_.size() - offset)};
    }

    std::span<std::byte const> content_;
    std::span<ElfW(Phdr) const> segments_;
    std::span<ElfW(Dyn) const> dynamic_;
    std::optional<ElfW(Addr)> strings_;
};

/// The name of a loaded library, as its file says it; empty for the program.
std::string soname_of(link_map const& library) {
    char const* strings = nullptr;
    std::optional<std::size_t> name;
    for (ElfW(Dyn) const* each = library.l_ld; each->d_tag != DT_NULL; ++each) {
        if (each->d_tag == DT_STRTAB) {
            // NOLINTNEXTLINE(performance-no-int-to-ptr): ELF's own
            strings = reinterpret_cast<char const*>(each->d_un.d_ptr);
        } else if (each->d_tag == DT_SONAME) {
            name = each->d_un.d_val;
        }
    }
    return strings != nullptr && name ? strings + *name : "";
}

/// The name of the Boost.Python library that contains the function: the whole program uses it.
std::string name_of_programs(void* function) {
    Dl_info unused{};
    void* library = nullptr;
    return dladdr1(function, &unused, &library, RTLD_DL_LINKMAP) != 0
               ? soname_of(*static_cast<link_map*>(library))
               : std::string();
}

/// Whether the malloc() that the whole process uses is not the C library's.
bool malloc_is_another() {
    bool is_another = false;
    detail::for_each_loaded_object([&is_another](detail::loaded_object const& each) {
        std::string_view const path(each.path());
        bool const is_c_library = path.substr(path.rfind('/') + 1).starts_with("libc.so");
        is_another = is_another || (!is_c_library && each.find("malloc").address != nullptr);
    });
    return is_another;
}

/// What is known of the program, as it was when Python started.
struct program {
    std::string name_of_boost_python;
    bool malloc_is_another;
};
constinit program const* the_program = nullptr;  // guarded by the GIL

bool brings_its_own(char const* module) {
    library_file const file(module);
    return file.defines(one_of_its_functions) || file.needs([](std::string_view name) {
        return name.starts_with("libboost_python") && name != the_program->name_of_boost_python;
    });
}

/// Loads the module in the right way; Python then loads it again, and finds it loaded. Returns
/// whether Python may go on; a Python error is set if not. Python reports what cannot be loaded.
bool load_apart(char const* module) {
    if (the_program->malloc_is_another) {
        return PyErr_WarnFormat(
                   PyExc_RuntimeWarning, 1,
                   "%s brings a Boost.Python of its own, and may crash here: this program has "
                   "another one, and a malloc() that keeps the two from being kept apart. Run it "
                   "in a program that is not linked with Boost.Python",
                   module) == 0;
    }
    dlopen(module, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    return true;
}

/// create_dynamic(spec, file=None), around the one of `_imp`.
PyObject* create_dynamic(PyObject* original, PyObject* const* arguments, Py_ssize_t count) {
    if (count > 0) {
        reference const origin(PyObject_GetAttrString(arguments[0], "origin"));
        PyObject* encoded = nullptr;
        if (origin && PyUnicode_FSConverter(origin.get(), static_cast<void*>(&encoded)) != 0) {
            reference const path(encoded);
            if (brings_its_own(PyBytes_AS_STRING(encoded)) &&
                !load_apart(PyBytes_AS_STRING(encoded))) {
                return nullptr;
            }
        }
        PyErr_Clear();  // of a wrong spec, Python will complain
    }
    return PyObject_Vectorcall(original, arguments, static_cast<std::size_t>(count), nullptr);
}

/// Returns whether it could; a Python error is set if not.
bool replace_create_dynamic() {
    static PyMethodDef definition = {
        .ml_name = "create_dynamic",
        .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&create_dynamic)),
        .ml_flags = METH_FASTCALL,
        .ml_doc = "Create an extension module; with a Boost.Python of its own, apart."};
    reference const module(PyImport_ImportModule("_imp"));
    reference const original(module ? PyObject_GetAttrString(module.get(), definition.ml_name)
                                    : nullptr);
    reference const ours(original ? PyCFunction_New(&definition, original.get()) : nullptr);
    return ours && PyObject_SetAttrString(module.get(), definition.ml_name, ours.get()) == 0;
}

}  // namespace

void keep_boost_pythons_apart() {
    void* const function = dlsym(RTLD_DEFAULT, one_of_its_functions);
    if (function == nullptr || the_program != nullptr) {
        return;
    }
    the_program = new program{.name_of_boost_python = name_of_programs(function),
                              .malloc_is_another = malloc_is_another()};
    if (!replace_create_dynamic()) {
        PyErr_Clear();  // other code has replaced _imp
    }
}

}  // namespace handoff
