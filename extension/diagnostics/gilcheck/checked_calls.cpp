// checked_calls: gives each Python function a stub, and points its callers' slots to the stub.
#include "checked_calls.hpp"

#include "checked_calls_count.h"
#include "gil_events.hpp"
#include "legal_calls.hpp"
#include "mapped_array.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <dlfcn.h>
#include <functional>
#include <string_view>
#include <utility>

namespace handoff::detail {
namespace {
std::atomic<void (*)()> before_load = nullptr;
}
}  // namespace handoff::detail

extern "C" {
[[gnu::visibility(
    "hidden")]] std::array<handoff::detail::checked_call, HANDOFF_CALL_STUBS> handoff_checked;
[[gnu::visibility(
    "hidden")]] std::array<handoff::detail::checked_call, HANDOFF_LOAD_STUBS> handoff_loading;
[[gnu::visibility("hidden")]] void handoff_call_stubs();
[[gnu::visibility("hidden")]] void handoff_load_stubs();
[[gnu::visibility("hidden"), gnu::used]] void handoff_before_load() {
    if (auto const look = handoff::detail::before_load.load(std::memory_order_acquire)) {
        look();
    }
}
[[gnu::visibility("hidden"), gnu::used]] void handoff_not_at_once(
    handoff::detail::checked_call const* call, void* return_address, void* const* arguments) {
    using namespace handoff::detail;
    if (handoff_gil_held) {
        if (auto const prepare = on_early_call.load(std::memory_order_acquire)) {
            prepare();
        }
    } else if (auto const handler = on_violation.load(std::memory_order_acquire);
               handler == nullptr || !handler(*call, return_address)) {
        return;
    }
    if (auto const handler = on_slow_call.load(std::memory_order_acquire)) {
        handler(call->name, arguments);
    }
}
}

namespace handoff::detail {

std::atomic<violation_handler> on_violation = nullptr;
std::atomic<void (*)() noexcept> on_early_call = nullptr;
std::atomic<slow_call_handler> on_slow_call = nullptr;
std::atomic<void (*)() noexcept> on_gil_function = nullptr;

namespace {

constexpr std::size_t stub_size = 16;  // bytes, on x86-64 and on aarch64

/// Their addresses are compared, by code that fills a type's slots with them.
constexpr std::array compared_beginnings{
    "PyObject_Generic", "PyType_Generic", "PyObject_SelfIter", "PyObject_HashNotImplemented",
    "PyObject_Free",    "PyObject_Del",   "PyObject_GC_Del"};

/// The stubs that functions were given, by name. Allocates nothing, because the program may hold
/// its allocator's lock. A fork() at any moment leaves the child a complete table.
class stub_table {
public:
    /// Made when it is first requested. Null: there are too many. The name is copied, because its
    /// library may be unloaded.
    void* stub_of(std::string_view name, void* function) noexcept {
        std::uint16_t& place = place_of(name);
        if (place == 0) {
            if (used_ >= handoff_checked.size() || name.size() >= names_.size() - used_bytes_) {
                return nullptr;
            }
            std::size_t const made = used_++;
            char* const copy = &names_[std::exchange(used_bytes_, used_bytes_ + name.size() + 1)];
            name.copy(copy, name.size());
            handoff_checked.at(made).name = copy;
            handoff_checked.at(made).function = function;
            std::atomic_signal_fence(std::memory_order_release);
            place = static_cast<std::uint16_t>(made + 1);
        }
        return reinterpret_cast<char*>(&handoff_call_stubs) + (place - 1) * stub_size;
    }

private:
    std::uint16_t& place_of(std::string_view name) noexcept {
        std::size_t bucket = std::hash<std::string_view>()(name);
        for (;; ++bucket) {  // twice as many as there are names: one of them is free
            std::uint16_t& place = places_.at(bucket % places_.size());
            if (place == 0 || handoff_checked.at(place - 1U).name == name) {
                return place;
            }
        }
    }

    std::array<std::uint16_t, std::size_t{2} * HANDOFF_CALL_STUBS> places_{};  // and one; 0: none
    mapped_array<char> names_{std::size_t{1} << 20U};
    std::size_t used_ = 0;
    std::size_t used_bytes_ = 0;
};

void* stub_of(std::string_view name, void* function) {
    static stub_table known;
    return known.stub_of(name, function);
}

/// dlopen() and dlsym() always continue to their function, after a check for what is new.
constexpr std::array<char const*, HANDOFF_LOAD_STUBS> loaders{"dlopen", "dlsym"};

void* load_stub_of(std::string_view name) noexcept {
    auto const found = std::ranges::find(loaders, name);
    return found == loaders.end() ? nullptr
                                  : reinterpret_cast<char*>(&handoff_load_stubs) +
                                        (found - loaders.begin()) * stub_size;
}

bool is_within(void const* function, void (*stubs)(), std::size_t count) noexcept {
    auto const offset = static_cast<std::size_t>(static_cast<char const*>(function) -
                                                 reinterpret_cast<char const*>(stubs));
    return offset < count * stub_size;
}

bool is_compared(std::string_view name) noexcept {
    return std::ranges::any_of(compared_beginnings,
                               [name](char const* each) { return name.starts_with(each); });
}

[[gnu::tls_model("initial-exec")]] constinit thread_local void const* released_by = nullptr;

/// Calls of these are recorded: a report says where the GIL was released. They need the GIL, too.
constinit checked_call saving{.function = nullptr, .name = "PyEval_SaveThread"};
constinit checked_call releasing{.function = nullptr, .name = "PyGILState_Release"};
/// Of these only where nothing else tells of them.
constinit checked_call restoring{.function = nullptr, .name = "PyEval_RestoreThread"};
constinit checked_call ensuring{.function = nullptr, .name = "PyGILState_Ensure"};

template <class Function>
Function* next_of(checked_call const& call) noexcept {
    return reinterpret_cast<Function*>(call.function.load(std::memory_order_relaxed));
}

void check_release(checked_call const& call, void* return_address) noexcept {
    if (!handoff_gil_held) [[unlikely]] {
        if (auto const handler = on_violation.load(std::memory_order_acquire)) {
            handler(call, return_address);
        }
    }
    released_by = return_address;
}

void tell_of_gil_function() noexcept {
    if (auto const handler = on_gil_function.load(std::memory_order_acquire)) {
        handler();
    }
}

void* save_thread_noted() {
    check_release(saving, __builtin_return_address(0));
    void* const state = next_of<void*()>(saving)();
    tell_of_gil_function();
    return state;
}

void release_state_noted(int found) {
    check_release(releasing, __builtin_return_address(0));
    next_of<void(int)>(releasing)(found);
    tell_of_gil_function();
}

void restore_thread_noted(void* state) {
    next_of<void(void*)>(restoring)(state);
    tell_of_gil_function();
}

int ensure_state_noted() {
    int const found = next_of<int()>(ensuring)();
    tell_of_gil_function();
    return found;
}

/// What is called instead of a function. Null: it is none of these.
void* noted(std::string_view name, void* function) {
    auto const instead = [&](checked_call& call, auto* ours) -> void* {
        call.function.store(function, std::memory_order_relaxed);
        return reinterpret_cast<void*>(ours);
    };
    bool const is_told_by_events = on_gil_function.load(std::memory_order_relaxed) == nullptr;
    return name == saving.name      ? instead(saving, &save_thread_noted)
           : name == releasing.name ? instead(releasing, &release_state_noted)
           : is_told_by_events      ? nullptr
           : name == restoring.name ? instead(restoring, &restore_thread_noted)
           : name == ensuring.name  ? instead(ensuring, &ensure_state_noted)
                                    : nullptr;
}

/// The substitute for a function; null: there is none.
void* substitute_for(char const* exported, void* function) {
    std::string_view const name = exported;
    if (void* const ours = noted(name, function)) {
        return ours;
    }
    return is_legal_without_gil(name) ? nullptr : stub_of(exported, function);
}

bool is_ours(void const* function) noexcept {
    std::array const all_noted{
        reinterpret_cast<void const*>(&save_thread_noted),
        reinterpret_cast<void const*>(&release_state_noted),
        reinterpret_cast<void const*>(&restore_thread_noted),
        reinterpret_cast<void const*>(&ensure_state_noted),
    };
    return is_within(function, &handoff_call_stubs, handoff_checked.size()) ||
           is_within(function, &handoff_load_stubs, handoff_loading.size()) ||
           std::ranges::find(all_noted, function) != all_noted.end();
}

bool is_of_python(std::string_view name) noexcept {
    return name.starts_with("Py") || name.starts_with("_Py");
}

}  // namespace

void const* last_release() noexcept { return released_by; }

void watch_for_loads(void (*look)()) {
    for (std::size_t each = 0; each < loaders.size(); ++each) {
        handoff_loading[each].name = loaders[each];
        handoff_loading[each].function = dlsym(RTLD_DEFAULT, loaders[each]);
    }
    before_load.store(look, std::memory_order_release);
}

std::size_t check_calls_into(loaded_object const* interpreter) {
    std::size_t changed = 0;
    auto const in_interpreter = [interpreter](char const* name) {
        return interpreter != nullptr ? interpreter->find(name) : loaded_object::symbol{};
    };
    void const* const python = in_interpreter("_PyRuntime").address;
    auto const check = [&](loaded_object const& caller) {
        bool const is_interpreter = python != nullptr && caller.contains(python);
        auto const is_watched = [&](loaded_object::slot const& slot) {
            return (is_of_python(slot.name) && !is_interpreter) ||
                   load_stub_of(slot.name) != nullptr;
        };
        bool calls_by_slots = false;
        bool has_slots = false;
        auto const look = [&](loaded_object::slot const& slot) {
            bool const watched = is_watched(slot);
            has_slots = has_slots || watched;
            calls_by_slots =
                calls_by_slots || (watched && slot.for_calls && is_of_python(slot.name));
        };
        caller.for_each_slot(std::ref(look));
        if (!has_slots) {
            return;
        }
        loaded_object::writable const now(caller);
        auto const redirect = [&](loaded_object::slot const& slot) {
            if (!now || !is_watched(slot) || is_ours(*slot.where) ||
                (!slot.for_calls && (calls_by_slots || is_compared(slot.name)))) {
                return;
            }
            void* ours = load_stub_of(slot.name);
            if (ours != nullptr) {
            } else if (auto const found = in_interpreter(slot.name); found.is_function) {
                // Resolved already, perhaps to another wrapper; or not yet, to the caller's own
                // lazy binding.
                ours = substitute_for(slot.name,
                                      caller.contains(*slot.where) ? found.address : *slot.where);
            }
            if (ours != nullptr) {
                now.put(slot, ours);
                ++changed;
            }
        };
        caller.for_each_slot(std::ref(redirect));
    };
    for_each_loaded_object(std::ref(check));  // by reference: a copy would be allocated
    return changed;
}

}  // namespace handoff::detail
