/* python_layout: where a version of CPython keeps what current_function reads. C's and C++'s. */
#pragma once

/* Bytes from the beginning of the object that a name begins with. */
struct handoff_python_layout {
    unsigned long version; /* PY_VERSION_HEX >> 16 */
    int thread_frame; /* PyThreadState: a pointer to the innermost frame, or, before 3.13, ... */
    int cframe_frame; /* ... to a structure that has it here; -1 from then on */
    int frame_executable; /* _PyInterpreterFrame: a code object, or what marks a call from C */
    int frame_previous;
    int frame_owner;
    int frame_instruction; /* the one that is being executed, or, before 3.13, was the last */
    int code_line;  /* PyCodeObject: where the function begins */
    int code_lines; /* bytes: of which lines its instructions are */
    int code_file;
    int code_name;
    int code_instructions; /* the first of them */
    int text_ascii; /* str: the characters, of one that is ASCII only, ... */
    int text_other; /* ... and of another */
};
