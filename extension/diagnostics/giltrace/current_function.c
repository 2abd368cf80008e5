/* current_function: knows CPython's frames, from the interpreter's internal headers. */
#include "current_function.h"

#ifndef NDEBUG
#define NDEBUG /* the headers' own assertions need symbols that a preloaded library may not have */
#endif
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe.h>
#else
#include <internal/pycore_frame.h>
#endif

struct handoff_function handoff_current_function(void const* state) {
    PyThreadState const* const thread = state;
#if PY_VERSION_HEX >= 0x030D0000
    struct _PyInterpreterFrame* frame = thread->current_frame;
#else
    struct _PyInterpreterFrame* frame = thread->cframe->current_frame;
#endif
    while (frame != NULL && _PyFrame_IsIncomplete(frame)) {
        frame = frame->previous;
    }
    struct handoff_function found = {NULL, NULL, NULL, 0};
    if (frame != NULL) {
#if PY_VERSION_HEX >= 0x030D0000
        PyCodeObject const* const code = _PyFrame_GetCode(frame);
#else
        PyCodeObject const* const code = frame->f_code;
#endif
        found.code = code;
        found.name = code->co_qualname;
        found.file = code->co_filename;
        found.line = code->co_firstlineno;
    }
    return found;
}

static size_t utf8_of(Py_UCS4 character, unsigned char to[4]) {
    if (character < 0x80) {
        to[0] = (unsigned char)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (unsigned char)(0xC0 | (character >> 6));
        to[1] = (unsigned char)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        to[0] = (unsigned char)(0xE0 | (character >> 12));
        to[1] = (unsigned char)(0x80 | ((character >> 6) & 0x3F));
        to[2] = (unsigned char)(0x80 | (character & 0x3F));
        return 3;
    }
    to[0] = (unsigned char)(0xF0 | (character >> 18));
    to[1] = (unsigned char)(0x80 | ((character >> 12) & 0x3F));
    to[2] = (unsigned char)(0x80 | ((character >> 6) & 0x3F));
    to[3] = (unsigned char)(0x80 | (character & 0x3F));
    return 4;
}

size_t handoff_utf8(void const* str, char* to, size_t room) {
    PyObject* const text = (PyObject*)str;
    size_t written = 0;
    Py_ssize_t const length = PyUnicode_GET_LENGTH(text);
    for (Py_ssize_t each = 0; each < length; ++each) {
        unsigned char bytes[4];
        Py_UCS4 const character = PyUnicode_READ_CHAR(text, each);
        int const surrogate = character >= 0xD800 && character < 0xE000;
        size_t const count = utf8_of(surrogate ? 0xFFFD : character, bytes);
        if (written + count > room) {
            break;
        }
        memcpy(to + written, bytes, count);
        written += count;
    }
    return written;
}

unsigned long handoff_functions_of(void) { return PY_VERSION_HEX; }
