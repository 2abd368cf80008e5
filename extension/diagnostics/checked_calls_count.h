// How many functions of Python's can be checked, for C++ and for assembly. CPython 3.15 exports 1,900.
#pragma once

#define HANDOFF_CALL_STUBS 4096
