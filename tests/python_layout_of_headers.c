/* The layout of this Python's objects, as its own internal headers have it. */
#include <python_layout.h>

#ifndef NDEBUG
#define NDEBUG /* the headers' own assertions need symbols that are not exported */
#endif
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe.h>
#include <internal/pycore_code.h>
#else
#include <internal/pycore_frame.h>
#endif

#include <stddef.h>

struct handoff_python_layout handoff_python_layout_of_headers(void) {
    struct handoff_python_layout of_headers = {
        .version = PY_VERSION_HEX >> 16U,
        .object_type = offsetof(PyObject, ob_type),
        .thread_next = offsetof(PyThreadState, next),
#if PY_VERSION_HEX < 0x030E0000
        .thread_state = -1,
        .thread_number = -1,
#else
        .thread_state = offsetof(PyThreadState, state),
        .thread_number = offsetof(PyThreadState, native_thread_id),
#endif
#if PY_VERSION_HEX < 0x030D0000
        .thread_frame = offsetof(PyThreadState, cframe),
        .cframe_frame = offsetof(_PyCFrame, current_frame),
        .frame_executable = offsetof(struct _PyInterpreterFrame, f_code),
#else
        .thread_frame = offsetof(PyThreadState, current_frame),
        .cframe_frame = -1,
        .frame_executable = offsetof(struct _PyInterpreterFrame, f_executable),
#endif
        .frame_previous = offsetof(struct _PyInterpreterFrame, previous),
        .frame_owner = offsetof(struct _PyInterpreterFrame, owner),
#if PY_VERSION_HEX < 0x030D0000
        .frame_instruction = offsetof(struct _PyInterpreterFrame, prev_instr),
#else
        .frame_instruction = offsetof(struct _PyInterpreterFrame, instr_ptr),
#endif
#ifdef Py_GIL_DISABLED
        .frame_copy = offsetof(struct _PyInterpreterFrame, tlbc_index),
        .code_copies = offsetof(PyCodeObject, co_tlbc),
#else
        .frame_copy = -1,
        .code_copies = -1,
#endif
        .code_line = offsetof(PyCodeObject, co_firstlineno),
        .code_lines = offsetof(PyCodeObject, co_linetable),
        .code_file = offsetof(PyCodeObject, co_filename),
        .code_name = offsetof(PyCodeObject, co_qualname),
        .code_instructions = offsetof(PyCodeObject, co_code_adaptive),
        .size_of_object = offsetof(PyVarObject, ob_size),
        .text_ascii = sizeof(PyASCIIObject),
        .text_other = sizeof(PyCompactUnicodeObject),
    };
    return of_headers;
}
