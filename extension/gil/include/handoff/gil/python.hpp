// The one door to Python.h: it must precede every standard header, and fixes the oldest Python.
#pragma once

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

static_assert(PY_VERSION_HEX >= 0x030A0000, "Handoff needs CPython 3.10 or newer");
