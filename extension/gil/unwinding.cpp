// What is linked in the place of the C++ runtime's personality routine, in all that uses this
// library.
//
// Problem
//   Up to CPython 3.13.7 a thread that asks for the GIL too late is ended by pthread_exit(), which
//   unwinds its stack. The first destructors that run are those of the innermost frames, which own
//   Python references, in our code as in what Boost.Python's headers put into it. They drop them
//   without the GIL, while Python finalizes. A catch further out, as rather_hang() has, is too
//   late.
//
// Idea
//   The unwinder asks each C++ frame's personality routine first, the innermost frame's first. With
//   --wrap the linker names ours in all frames of the program or module that is linked. Ours lets
//   the thread hang, as CPython does since 3.13.8, and otherwise does what the runtime's does. A
//   throw costs one comparison more; what throws nothing costs nothing.
//
// Limits
//   Frames in other libraries, as libboost_python's, have the runtime's routine. None of them owns
//   a reference while it runs Python code.
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
    // Within the call, of which the unwinder tells where it returns to.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how it tells it
    auto* const at = reinterpret_cast<void*>(_Unwind_GetIP(frame) - 1);
    void* const enclosing = _Unwind_FindEnclosingFunction(at);
    if (enclosing != nullptr && enclosing == reinterpret_cast<void*>(&PyThread_exit_thread)) {
        return true;
    }
    Dl_info symbol{};  // a program may have an address of its own for the function
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

/// Whether it is CPython that ends the calling thread. Looks through the innermost frames: the
/// unwinder's, pthread_exit() with what may be put around it, and then CPython's.
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
