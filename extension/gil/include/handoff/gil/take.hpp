// take_gil(): the one place where a thread waits for the GIL.
#pragma once

#include <handoff/gil/python.hpp>

#if PY_VERSION_HEX < 0x030E0000
#include <cxxabi.h>
#include <unistd.h>
#endif

namespace handoff::detail {

/// Calls `wait`, which attaches this thread by PyEval_RestoreThread or PyGILState_Ensure.
///
/// Once the interpreter is finalizing, a thread that asks for the GIL never gets it. Since 3.14
/// (and 3.13.8) CPython lets it hang. Earlier it ends the thread by pthread_exit(), which unwinds
/// the stack: through a destructor, or a catch (...) as in Boost.Python, that is std::terminate
/// for the whole process. So here it hangs too, until the process ends a moment later.
/// Source: cpython #105805, #137827.
template <class Wait>
auto take_gil(Wait wait) noexcept {
#if PY_VERSION_HEX < 0x030E0000
    try {
        return wait();
    } catch (abi::__forced_unwind const&) {
        for (;;) {
            pause();
        }
    }
#else
    return wait();
#endif
}

}  // namespace handoff::detail
