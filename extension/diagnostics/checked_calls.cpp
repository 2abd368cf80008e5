// checked_calls: gives each function of Python's a stub, and points the slots of its callers there.
#include "checked_calls.hpp"

#include "checked_calls_count.h"
#include "gil_events.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

extern "C" {
[[gnu::visibility("hidden")]] std::array<handoff::detail::checked_call, HANDOFF_CALL_STUBS>
    handoff_checked;
[[gnu::visibility("hidden")]] void handoff_call_stubs();
[[gnu::visibility("hidden"), gnu::used]] void handoff_called_without_gil(
    handoff::detail::checked_call const* call, void* return_address) {
    if (auto const handler = handoff::detail::on_violation.load(std::memory_order_acquire)) {
        handler(*call, return_address);
    }
}
}

namespace handoff::detail {

std::atomic<violation_handler> on_violation = nullptr;

namespace {

constexpr std::size_t stub_size = 16;  // bytes, of x86-64's and of aarch64's

/// Source: CPython's "Thread states and the GIL" and the pages of each function: those that need
/// no attached thread state, or that attach one.
constexpr std::array legal_beginnings{
    "PyConfig_",        "PyGILState_",       "PyImport_AppendInittab", "PyImport_ExtendInittab",
    "PyInitConfig_",    "PyInterpreterGuard_", "PyInterpreterState_Head", "PyInterpreterState_Main",
    "PyInterpreterState_Next", "PyInterpreterState_ThreadHead", "PyInterpreterView_",
    "PyMem_GetAllocator", "PyMem_Raw",       "PyMem_SetAllocator",     "PyMem_SetupDebugHooks",
    "PyMutex_",         "PyOS_get",          "PyOS_my",                "PyOS_set",
    "PyOS_snprintf",    "PyOS_strto",        "PyOS_vsnprintf",         "PyPreConfig_",
    "PyStatus_",        "PyThread_",         "PyWideStringList_",      "Py_BytesMain",
    "Py_DecodeLocale",  "Py_EncodeLocale",   "Py_Exit",                "Py_FatalError",
    "Py_Finalize",      "Py_Get",            "Py_Initialize",          "Py_Is",
    "Py_Main",          "Py_PreInitialize",  "Py_RunMain",             "Py_Set",
    "_PyMem_Raw",       "_PyMutex_",         "_PyRuntime",             "_Py_DecodeLocale",
    "_Py_DumpTraceback", "_Py_EncodeLocale", "_Py_FatalError",         "_Py_Initialize"};
constexpr std::array legal{
    "PyErr_SetInterrupt",          "PyErr_SetInterruptEx",
    "PyEval_AcquireLock",          "PyEval_AcquireThread",
    "PyEval_InitThreads",          "PyEval_RestoreThread",
    "PyEval_ThreadsInitialized",   "PyThreadState_Delete",
    "PyThreadState_Ensure",        "PyThreadState_EnsureFromView",
    "PyThreadState_GetInterpreter", "PyThreadState_GetUnchecked",
    "PyThreadState_New",           "PyThreadState_Next",
    "PyThreadState_Release",       "PyThreadState_Swap",
    "PyTime_MonotonicRaw",         "PyTime_PerfCounterRaw",
    "PyTime_TimeRaw",              "Py_AddPendingCall",
    "Py_AtExit",                   "Py_EndInterpreter",
    "_PyThreadState_UncheckedGet"};
/// Their addresses are compared, by who fills a type's slots with them.
constexpr std::array compared_beginnings{
    "PyObject_Generic", "PyType_Generic",  "PyObject_SelfIter", "PyObject_HashNotImplemented",
    "PyObject_Free",    "PyObject_Del",    "PyObject_GC_Del"};

bool begins_with_one_of(std::string_view name, std::span<char const* const> beginnings) {
    return std::ranges::any_of(beginnings,
                               [name](char const* each) { return name.starts_with(each); });
}

/// The stub of each function, made when it is first asked for. Null: there are too many.
void* stub_of(char const* name, void* function) {
    static auto& known = *new std::unordered_map<std::string_view, std::size_t>();
    auto const [found, is_new] = known.try_emplace(name, known.size());
    if (found->second >= handoff_checked.size()) {
        return nullptr;
    }
    if (is_new) {
        handoff_checked[found->second].name = name;
        handoff_checked[found->second].function = function;
    }
    return reinterpret_cast<char*>(&handoff_call_stubs) + found->second * stub_size;
}

bool is_stub(void const* function) noexcept {
    auto const offset = static_cast<char const*>(function) - reinterpret_cast<char*>(&handoff_call_stubs);
    return offset >= 0 && static_cast<std::size_t>(offset) < handoff_checked.size() * stub_size;
}

bool is_of_python(std::string_view name) noexcept {
    return name.starts_with("Py") || name.starts_with("_Py");
}

}  // namespace

bool is_legal_without_gil(std::string_view name) noexcept {
    return begins_with_one_of(name, legal_beginnings) || std::ranges::find(legal, name) != legal.end();
}

std::size_t check_calls_into(loaded_object const& interpreter) {
    std::size_t changed = 0;
    void const* const python = interpreter.find("PyObject_Size").address;
    for_each_loaded_object([&](loaded_object const& caller) {
        if (caller.contains(python) || caller.contains(&handoff_checked)) {
            return;
        }
        bool calls_by_slots = false;
        std::vector<loaded_object::slot> slots;
        caller.for_each_slot([&](loaded_object::slot const& each) {
            if (is_of_python(each.name)) {
                calls_by_slots = calls_by_slots || each.for_calls;
                slots.push_back(each);
            }
        });
        if (slots.empty()) {
            return;
        }
        loaded_object::writable const now(caller);
        if (!now) {
            return;
        }
        for (auto const& each : slots) {
            bool const is_call = each.for_calls || (!calls_by_slots && !begins_with_one_of(each.name, compared_beginnings));
            if (!is_call || is_legal_without_gil(each.name) || is_stub(*each.where)) {
                continue;
            }
            auto const found = interpreter.find(each.name);
            if (!found.is_function) {
                continue;
            }
            // Resolved already, perhaps to another's wrapper; or to the caller's own lazy binding.
            void* const target = caller.contains(*each.where) ? found.address : *each.where;
            if (void* const stub = stub_of(each.name, target)) {
                std::atomic_ref(*each.where).store(stub);
                ++changed;
            }
        }
    });
    return changed;
}

}  // namespace handoff::detail
