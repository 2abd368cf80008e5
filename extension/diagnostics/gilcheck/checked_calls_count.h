// How many functions there are stubs for, for C++ and for assembly. CPython 3.15 exports 1,900.
#pragma once

// NOLINTBEGIN(modernize-macro-to-enum): assembly knows no enum

#define HANDOFF_CALL_STUBS 4096
#define HANDOFF_LOAD_STUBS 2
// NOLINTEND(modernize-macro-to-enum)
