// Refuses an older C++ in one line, where the compiler would say dozens that do not name the cause.
#pragma once

#if __cplusplus < 202002L
// Not #error, after which a compiler reads on and complains about the rest: GCC and Clang stop at
// once where a file that is included does not exist, and say its name.
#include "Handoff needs C++20: compile with -std=c++20, or in CMake link handoff::gil, which asks for it"
#endif
