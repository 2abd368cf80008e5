// What a sanitizer does in each of our executables; ASAN_OPTIONS and the like change it.
//
// Compiled in rather than set in the environment: it holds for every process that a test starts,
// and for whoever runs such an executable by hand.

// No test expects this exit code, and nothing is printed unless there is something to report.
#define FAILURE "exitcode=99:print_suppressions=0:"

#define OPTIONS_OF extern "C" __attribute__((visibility("default"))) char const*

OPTIONS_OF __asan_default_options() {
    return FAILURE "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:";
}

OPTIONS_OF __ubsan_default_options() { return FAILURE "print_stacktrace=1:"; }

// A forked child may start threads: the fork tests do.
OPTIONS_OF __tsan_default_options() { return FAILURE "die_after_fork=0:second_deadlock_stack=1:"; }

// What is not reported: `race:` and a function on one of the two stacks.
OPTIONS_OF __tsan_default_suppressions() {
    return
        // faulthandler shows the stacks of other threads as they run, by design.
        "race:_Py_write_noraise\n"
        // glibc frees the thread-local data of a thread that has ended when another gets its stack:
        // the kernel's word for the end, which orders them, is not seen.
        "race:_dl_deallocate_tls\n"
        // The C++ library counts an exception's references, which orders the threads that have it,
        // in code that is not instrumented: who drops the last one seems to free what others read.
        "race:std::__exception_ptr::exception_ptr::_M_release\n"
        // Boost.Python's own static None goes with the program, beside a thread that was abandoned.
        "race:boost::python::api::slice_nil::~slice_nil\n";
}
