/* current_function: which Python function a thread executes, read without the GIL's API.
 *
 * It allocates nothing and runs no Python code, so it may be called where no C API may be: when a
 * thread has just let go of the GIL and nobody else can take it yet. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* References are borrowed; all null: no Python function is being executed. */
struct handoff_function {
    void const* code; /* a PyCodeObject */
    void const* name; /* its qualified name, a str */
    void const* file; /* a str */
    int line;         /* where it begins */
};

/* Of a thread that is in no other function meanwhile. state: its PyThreadState, of the very Python
 * (major.minor) that handoff_functions_of() names. */
struct handoff_function handoff_current_function(void const* state);

/* Writes a str as UTF-8, as much of it as has room, without a zero. Returns: the bytes written. */
size_t handoff_utf8(void const* str, char* to, size_t room);

/* PY_VERSION_HEX of the headers that this was compiled with. */
unsigned long handoff_functions_of(void);

#ifdef __cplusplus
}
#endif
