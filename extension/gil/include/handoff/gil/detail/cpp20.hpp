// Refuses an older C++ with one line; a compiler would print dozens that do not name the cause.
#pragma once

#if __cplusplus < 202002L
// Not #error, because a compiler continues after it and complains about the rest. GCC and Clang
// stop at once if an included file does not exist, and print its name.
#include "Handoff needs C++20: compile with -std=c++20, or in CMake link handoff::gil, which asks for it"
#endif
