// The one door to Python.h: it must precede every standard header, and fixes the oldest Python.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

static_assert(PY_VERSION_HEX >= 0x030B0000, "Handoff needs CPython 3.11 or newer");

#if defined(HANDOFF_PYTHON_MINOR) && HANDOFF_PYTHON_MINOR != PY_MINOR_VERSION
#error \
    "Handoff was built for another Python than this Python.h: configure with -DPython3_EXECUTABLE= the Python that it was built for, or build it for this one"
#endif
