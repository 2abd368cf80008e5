// first_copy(): asks each loaded library, in the order in which they were loaded.
#include <handoff/gil/detail/first_copy.hpp>

#include <dlfcn.h>
#include <link.h>

namespace handoff::detail {

void* first_copy(void* ours) noexcept {
    Dl_info its{};
    if (dladdr(ours, &its) == 0 || its.dli_sname == nullptr || its.dli_saddr != ours) {
        return ours;
    }
    void* const program = dlopen(nullptr, RTLD_LAZY);
    link_map* library = nullptr;
    if (program == nullptr || dlinfo(program, RTLD_DI_LINKMAP, static_cast<void*>(&library)) != 0) {
        return ours;
    }
    void* first = nullptr;
    for (; library != nullptr && first == nullptr; library = library->l_next) {
        if (void* const loaded = dlopen(library->l_name, RTLD_LAZY | RTLD_NOLOAD)) {
            first = dlsym(loaded, its.dli_sname);
            dlclose(loaded);
        }
    }
    dlclose(program);
    return first != nullptr ? first : ours;
}

}  // namespace handoff::detail
