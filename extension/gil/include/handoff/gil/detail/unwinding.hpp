// rather_hang(): keeps CPython from unwinding a C++ thread that asks for the GIL too late.
#pragma once

#include <handoff/gil/python.hpp>

#if PY_VERSION_HEX < 0x030E0000
#include <cxxabi.h>
#include <unistd.h>
#endif

namespace handoff::detail {

/// Calls `work`, which takes the GIL, or runs Python code that releases it and takes it again.
///
/// Once the interpreter is finalizing, a thread that asks for the GIL never gets it. Since 3.14
/// (and 3.13.8) CPython lets the thread hang. Earlier versions end the thread with pthread_exit(),
/// which unwinds the stack. A destructor on the way, or a catch (...) as in Boost.Python, then
/// calls std::terminate for the whole process. So here the thread hangs too, until the process ends
/// a moment later. What `work` owns is not destroyed before that: unwinding.cpp says how.
/// Throws: what `work` throws. Source: cpython #105805, #137827.
template <class Work>
auto rather_hang(Work work) {
#if PY_VERSION_HEX < 0x030E0000
    try {
        return work();
    } catch (abi::__forced_unwind const&) {
        for (;;) {
            pause();
        }
    }
#else
    return work();
#endif
}

}  // namespace handoff::detail
