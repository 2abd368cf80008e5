// Replaces the C++ runtime's personality routine in everything that links this library.
//
// Problem
//   Up to CPython 3.13.7 a thread that asks for the GIL too late is ended by pthread_exit(), which
//   unwinds its stack. The first destructors that run are those of the innermost frames. They own
//   Python references, in Handoff's code and in the code of Boost.Python's headers. They drop these
//   references without the GIL, while Python finalizes. A catch in an outer frame, such as the one
//   in rather_hang(), is too late.
//
// Idea
//   The unwinder calls each C++ frame's personality routine first, beginning with the innermost
//   frame. With --wrap the linker enters our routine in all frames of the program or module that it
//   links. Our routine lets the thread hang, as CPython does since 3.13.8, and otherwise calls the
//   runtime's. A throw costs one comparison more; code that does not throw pays nothing.
//
// Limits
//   Frames in other libraries, such as libboost_python, have the runtime's routine. None of them
//   owns a reference while it runs Python code.
// Sources: Itanium C++ ABI, "Exception Handling", 1.6; ld(1), --wrap; cpython #105805, #137827.
#include <handoff/gil/python.hpp>

#include <cstdint>
#include <dlfcn.h>
#include <string_view>
#include <unistd.h>
#include <unwind.h>

#if PY_VERSION_HEX < 0x030E0000

// Null in a library that is preloaded into a program without Python.
// NOLINTNEXTLINE(readability-redundant-declaration): it adds the attribute
extern "C" [[gnu::weak]] decltype(PyThread_exit_thread) PyThread_exit_thread;

namespace {

constexpr std::string_view ender = "PyThread_exit_thread";

/// Whether this frame of the stack is CPython's function that ends a thread.
bool is_ender(_Unwind_Context* frame) noexcept {
    // The address is inside the call; the unwinder gives the one to which the call returns.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder gives it as a number
    auto* const at = reinterpret_cast<void*>(_Unwind_GetIP(frame) - 1);
    void* const enclosing = _Unwind_FindEnclosingFunction(at);
    if (enclosing != nullptr && enclosing == reinterpret_cast<void*>(&PyThread_exit_thread)) {
        return true;
    }
    Dl_info symbol{};  // a program may use its own address for the function
    return dladdr(at, &symbol) != 0 && symbol.dli_sname != nullptr && symbol.dli_sname == ender;
}

struct search {
    int left = 16;
    bool found = false;
};

_Unwind_Reason_Code look(_Unwind_Context* frame, void* state) noexcept {
    auto& its = *static_cast<search*>(state);
    its.found = is_ender(frame);
    return its.found || --its.left == 0 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/// Whether CPython is ending the calling thread. Checks the innermost frames: the unwinder's,
/// those of pthread_exit() and of wrappers around it, and then CPython's.
bool ended_by_python() noexcept {
    search its;
    _Unwind_Backtrace(&look, &its);
    return its.found;
}

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names

extern "C" _Unwind_Reason_Code __real___gxx_personality_v0(int version, _Unwind_Action actions,
                                                           _Unwind_Exception_Class exception_class,
                                                           _Unwind_Exception* exception,
                                                           _Unwind_Context* context);

extern "C" _Unwind_Reason_Code __wrap___gxx_personality_v0(int version, _Unwind_Action actions,
                                                           _Unwind_Exception_Class exception_class,
                                                           _Unwind_Exception* exception,
                                                           _Unwind_Context* context) {
    if ((actions & _UA_FORCE_UNWIND) != 0 && ended_by_python()) [[unlikely]] {
        for (;;) {
            pause();
        }
    }
    return __real___gxx_personality_v0(version, actions, exception_class, exception, context);
}

// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

#endif
