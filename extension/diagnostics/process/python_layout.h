/* python_layout: where a version of CPython keeps what current_function reads. C's and C++'s. */
#pragma once

/* Bytes from the beginning of the object that a name begins with. */
struct handoff_python_layout {
    unsigned long version; /* PY_VERSION_HEX >> 16 */
    int object_type; /* PyObject: its type; what follows is after the head that each object has */
    int thread_next; /* PyThreadState */
    int thread_state; /* int: whether it is attached; -1 before 3.14 */
    int thread_number; /* unsigned long: the system's; -1 before 3.14 */
    int thread_frame; /* PyThreadState: a pointer to the innermost frame, or, before 3.13, ... */
    int cframe_frame; /* ... to a structure that has it here; -1 from then on */
    int frame_executable; /* _PyInterpreterFrame: a code object, or what marks a call from C */
    int frame_previous;
    int frame_owner;
    int frame_instruction; /* the one that is being executed, or, before 3.13, was the last */
    int frame_copy; /* int32_t: which of the code's copies it executes; -1 if there is a GIL */
    int code_line;  /* PyCodeObject: where the function begins */
    int code_lines; /* bytes: of which lines its instructions are */
    int code_file;
    int code_name;
    int code_instructions; /* the first of them */
    int code_copies; /* an array of pointers to the first of each copy, after its size; or -1 */
    int size_of_object; /* of a PyVarObject, as a bytes object and a str begin */
    int text_ascii; /* str: the characters, of one that is ASCII only, ... */
    int text_other; /* ... and of another */
};
