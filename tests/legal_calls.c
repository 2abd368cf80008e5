/* Module legal_calls: calls each function of the C API that needs no GIL and can be called in a
 * running Python, without it; and, by name, some that only look like those. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define SINCE(minor) (PY_VERSION_HEX >= 0x03000000 + ((minor) << 16))

/* Exported, and in internal headers, or in none any more, or there as a macro. */
#define EXPORTED(result, name, parameters) extern result exported_##name parameters __asm__(#name)
EXPORTED(void*, PyEval_ThreadsInitialized, (void));
EXPORTED(int, PyTraceMalloc_Track, (unsigned, uintptr_t, size_t));
EXPORTED(int, PyTraceMalloc_Untrack, (unsigned, uintptr_t));
EXPORTED(void*, Py_GetPath, (void));
EXPORTED(void*, Py_GetPrefix, (void));
EXPORTED(void*, Py_GetExecPrefix, (void));
EXPORTED(void*, Py_GetProgramFullPath, (void));
EXPORTED(void*, Py_GetProgramName, (void));
EXPORTED(void*, Py_GetPythonHome, (void));
EXPORTED(int, Py_Is, (PyObject*, PyObject*));
EXPORTED(int, Py_IsNone, (PyObject*));
EXPORTED(int, Py_IsTrue, (PyObject*));
EXPORTED(int, Py_IsFalse, (PyObject*));
EXPORTED(void*, PyThread_init_thread, (void));
EXPORTED(int, PyThread_create_key, (void));
EXPORTED(void, PyThread_delete_key, (int));
EXPORTED(int, PyThread_set_key_value, (int, void*));
EXPORTED(void*, PyThread_get_key_value, (int));
EXPORTED(void, PyThread_delete_key_value, (int));
EXPORTED(void, _Py_RestoreSignals, (void));
EXPORTED(int, _Py_fstat_noraise, (int, void*));
EXPORTED(int, _Py_open_noraise, (char const*, int));
EXPORTED(ssize_t, _Py_write_noraise, (int, void const*, size_t));
EXPORTED(int, _Py_set_inheritable_async_safe, (int, int, int*));
EXPORTED(void, _Py_closerange, (int, int));
#if !SINCE(13)
EXPORTED(double, _Py_parse_inf_or_nan, (char const*, char**));
EXPORTED(void*, _Py_gitidentifier, (void));
EXPORTED(void*, _Py_gitversion, (void));
EXPORTED(int, _Py_add_one_to_index_C, (int, Py_ssize_t*, Py_ssize_t const*));
EXPORTED(int, _Py_add_one_to_index_F, (int, Py_ssize_t*, Py_ssize_t const*));
EXPORTED(PyInterpreterState*, _PyGILState_GetInterpreterStateUnsafe, (void));
EXPORTED(void, _PyEval_SignalReceived, (PyInterpreterState*));
EXPORTED(PyThreadState*, _PyThreadState_UncheckedGet, (void));
EXPORTED(int, _Py_IsFinalizing, (void));
EXPORTED(wchar_t*, _PyMem_RawWcsdup, (wchar_t const*));
EXPORTED(char*, _PyMem_RawStrdup, (char const*));
EXPORTED(Py_hash_t, _Py_HashPointerRaw, (void const*));
EXPORTED(void, _Py_DumpTraceback, (int, PyThreadState*));
EXPORTED(int64_t, _PyTime_Add, (int64_t, int64_t));
EXPORTED(int64_t, _PyTime_MulDiv, (int64_t, int64_t, int64_t));
EXPORTED(int64_t, _PyTime_FromSeconds, (int));
EXPORTED(double, _PyTime_AsSecondsDouble, (int64_t));
EXPORTED(int64_t, _PyTime_AsMilliseconds, (int64_t, int));
EXPORTED(int64_t, _PyTime_GetMonotonicClock, (void));
EXPORTED(int64_t, _PyTime_GetPerfCounter, (void));
EXPORTED(int64_t, _PyTime_GetSystemClock, (void));
#else
EXPORTED(PyThreadState*, _PyThreadState_GetCurrent, (void));
#endif
#if SINCE(14)
EXPORTED(uint32_t, Py_PACK_VERSION, (int, int));
EXPORTED(uint32_t, Py_PACK_FULL_VERSION, (int, int, int, int, int));
EXPORTED(Py_ssize_t, Py_REFCNT, (PyObject*));
EXPORTED(PyTypeObject*, Py_TYPE, (PyObject*));
#endif

static void* volatile seen;
static double volatile number;
#define SEE(what) (seen = (void*)(intptr_t)(what))

static int nothing(void* unused) {
    SEE(unused);
    return 0;
}
static void at_exit(void) {}
static void thread(void* lock) { PyThread_release_lock(lock); }

static int formatted(char* to, size_t size, char const* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int const length = PyOS_vsnprintf(to, size, format, arguments);
    va_end(arguments);
    return length;
}

static void threads_and_locks(void) {
    exported_PyThread_init_thread();
    PyThread_type_lock const lock = PyThread_allocate_lock();
    PyThread_acquire_lock(lock, WAIT_LOCK);
    PyThread_start_new_thread(&thread, lock);
    SEE(PyThread_acquire_lock_timed(lock, 60000000, 0));
    PyThread_release_lock(lock);
    PyThread_free_lock(lock);
    SEE(PyThread_get_thread_ident());
    SEE(PyThread_get_thread_native_id());
    Py_tss_t* const key = PyThread_tss_alloc();
    PyThread_tss_create(key);
    PyThread_tss_set(key, key);
    SEE(PyThread_tss_get(key));
    SEE(PyThread_tss_is_created(key));
    PyThread_tss_delete(key);
    PyThread_tss_free(key);
    int const number_of_key = exported_PyThread_create_key();
    exported_PyThread_set_key_value(number_of_key, key);
    SEE(exported_PyThread_get_key_value(number_of_key));
    exported_PyThread_delete_key_value(number_of_key);
    exported_PyThread_delete_key(number_of_key);
#if SINCE(13)
    PyMutex mutex = {0};
    (PyMutex_Lock)(&mutex);
    (PyMutex_Unlock)(&mutex);
#endif
#if SINCE(14)
    SEE((PyMutex_IsLocked)(&mutex));
#endif
}

static void thread_states(PyInterpreterState* interpreter) {
    SEE(exported_PyEval_ThreadsInitialized());
    SEE(PyGILState_Check());
    SEE(PyGILState_GetThisThreadState());
    SEE(PyThreadState_GetDict());
    SEE(PyInterpreterState_Main());
    SEE(PyInterpreterState_Next(PyInterpreterState_Head()));
    PyThreadState* const first = PyInterpreterState_ThreadHead(interpreter);
    SEE(PyThreadState_GetInterpreter(first));
    SEE(PyThreadState_Next(first));
#if SINCE(13)
    SEE(PyThreadState_GetUnchecked());
    SEE(exported__PyThreadState_GetCurrent());
    SEE(Py_IsFinalizing());
#else
    SEE(exported__PyThreadState_UncheckedGet());
    SEE(exported__PyGILState_GetInterpreterStateUnsafe());
    SEE(exported__Py_IsFinalizing());
#endif
    PyThreadState* const state = PyThreadState_New(interpreter);
    PyEval_AcquireThread(state);
    PyThreadState_Clear(state);
    PyEval_ReleaseThread(state);
    PyThreadState_Delete(state);
#if SINCE(15)
    PyInterpreterView* const view = PyInterpreterView_FromMain();
    PyInterpreterGuard* const guard = PyInterpreterGuard_FromView(view);
    PyThreadStateToken* const token = PyThreadState_Ensure(guard);
    PyThreadState_Release(token);
    PyInterpreterGuard_Close(guard);
    PyInterpreterView_Close(view);
#endif
}

static void what_python_is(void) {
    SEE(Py_IsInitialized());
    SEE(Py_GetVersion());
    SEE(Py_GetPlatform());
    SEE(Py_GetCopyright());
    SEE(Py_GetCompiler());
    SEE(Py_GetBuildInfo());
    SEE(exported_Py_GetPath());
    SEE(exported_Py_GetPrefix());
    SEE(exported_Py_GetExecPrefix());
    SEE(exported_Py_GetProgramFullPath());
    SEE(exported_Py_GetProgramName());
    SEE(exported_Py_GetPythonHome());
#if !SINCE(13)
    SEE(exported__Py_gitidentifier());
    SEE(exported__Py_gitversion());
#endif
    SEE(PyImport_GetMagicTag());
    int count = 0;
    wchar_t** words = NULL;
    Py_GetArgcArgv(&count, &words);
    SEE(Py_AtExit(&at_exit));
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    PyPreConfig_InitIsolatedConfig(&preconfig);
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    PyConfig_Clear(&config);
    PyConfig_InitPythonConfig(&config);
    PyStatus const status = PyConfig_SetString(&config, &config.program_name, L"python");
    SEE(PyStatus_Exception(status) + PyStatus_IsError(status) + PyStatus_IsExit(status));
    SEE(PyStatus_Exception(PyWideStringList_Append(&config.argv, L"one")));
    SEE(PyStatus_Exception(PyWideStringList_Insert(&config.argv, 0, L"none")));
    PyConfig_Clear(&config);
    SEE(PyStatus_Exception(PyStatus_Ok()) + PyStatus_Exception(PyStatus_Error("an error")));
    SEE(PyStatus_Exception(PyStatus_NoMemory()) + PyStatus_Exception(PyStatus_Exit(0)));
#if SINCE(14)
    PyInitConfig* const asked = PyInitConfig_Create();
    int64_t value = 0;
    char const* error = NULL;
    int code = 0;
    SEE(PyInitConfig_HasOption(asked, "verbose"));
    SEE(PyInitConfig_SetInt(asked, "verbose", 0));
    SEE(PyInitConfig_GetInt(asked, "verbose", &value));
    SEE(PyInitConfig_SetStr(asked, "program_name", "python"));
    SEE(PyInitConfig_GetError(asked, &error));
    SEE(PyInitConfig_GetExitCode(asked, &code));
    PyInitConfig_Free(asked);
    SEE(exported_Py_PACK_VERSION(3, 14));
    SEE(exported_Py_PACK_FULL_VERSION(3, 14, 0, 0xF, 0));
#endif
}

static void signals_and_dumps(PyInterpreterState* interpreter) {
    SEE(interpreter);
    SEE(PyErr_SetInterruptEx(0)); /* there is no signal 0 */
    SEE(Py_AddPendingCall(&nothing, NULL));
#if !SINCE(13)
    exported__PyEval_SignalReceived(interpreter);
#endif
    PyOS_sighandler_t const handler = PyOS_getsig(SIGUSR2);
    SEE(PyOS_setsig(SIGUSR2, handler));
    SEE(exported_PyTraceMalloc_Track(0x48616e64, 1, 8));
    SEE(exported_PyTraceMalloc_Untrack(0x48616e64, 1));
    int const nowhere = exported__Py_open_noraise("/dev/null", O_WRONLY);
    struct {
        char room[1024];
    } status;
    SEE(exported__Py_fstat_noraise(nowhere, &status));
    SEE(exported__Py_write_noraise(nowhere, "text", 4));
    SEE(exported__Py_set_inheritable_async_safe(nowhere, 0, NULL));
#if SINCE(15)
    SEE(PyUnstable_DumpTraceback(nowhere, PyInterpreterState_ThreadHead(interpreter)));
    SEE(PyUnstable_DumpTracebackThreads(nowhere, interpreter, NULL, 10));
#elif !SINCE(13)
    exported__Py_DumpTraceback(nowhere, PyInterpreterState_ThreadHead(interpreter));
#endif
#if SINCE(13)
    PyUnstable_PerfMapState_Fini();
#endif
    exported__Py_closerange(nowhere, nowhere);
}

static void memory(void) {
    void* block = PyMem_RawCalloc(1, 8);
    block = PyMem_RawRealloc(block, 16);
    PyMem_RawFree(block);
    PyMem_RawFree(PyMem_RawMalloc(8));
    PyMemAllocatorEx allocator;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &allocator);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &allocator);
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    PyObject_SetArenaAllocator(&arenas);
    PyMem_RawFree(Py_DecodeLocale("text", NULL));
#if !SINCE(13)
    PyMem_RawFree(exported__PyMem_RawWcsdup(L"text"));
    PyMem_RawFree(exported__PyMem_RawStrdup("text"));
#endif
}

static void times(void) {
#if SINCE(13)
    PyTime_t now = 0;
    SEE(PyTime_MonotonicRaw(&now));
    SEE(PyTime_PerfCounterRaw(&now));
    SEE(PyTime_TimeRaw(&now));
    number = PyTime_AsSecondsDouble(now);
#else
    int64_t const now = exported__PyTime_GetMonotonicClock();
    SEE(exported__PyTime_GetPerfCounter());
    SEE(exported__PyTime_GetSystemClock());
    SEE(exported__PyTime_Add(now, exported__PyTime_FromSeconds(1)));
    SEE(exported__PyTime_MulDiv(now, 1, 2));
    SEE(exported__PyTime_AsMilliseconds(now, 0));
    number = exported__PyTime_AsSecondsDouble(now);
#endif
}

static void numbers_and_text(void) {
    char text[32];
    char* end = NULL;
    SEE(PyOS_snprintf(text, sizeof text, "%d", 12));
    SEE(formatted(text, sizeof text, "%d", 12));
    SEE(PyOS_mystricmp("a", "A") + PyOS_mystrnicmp("ab", "AC", 1));
    SEE(PyOS_strtol("12", &end, 10) + (long)PyOS_strtoul("12", &end, 10));
    SEE(PyUnicode_GetDefaultEncoding());
    SEE(PyHash_GetFuncDef());
    number = PyFloat_GetMax() + PyFloat_GetMin();
    SEE(PyFloat_Pack8(1.5, text, 1));
    number = PyFloat_Unpack8(text, 1) + PyFloat_Unpack4(text, 1) + PyFloat_Unpack2(text, 1);
#if !SINCE(13)
    number = exported__Py_parse_inf_or_nan("inf", &end);
#endif
    Py_complex const i = {0, 1};
    number = _Py_c_abs(_Py_c_sum(_Py_c_prod(i, i), _Py_c_quot(i, i)));
    number = _Py_c_pow(_Py_c_neg(_Py_c_diff(i, i)), i).real;
    Py_ssize_t shape[] = {2, 3};
    Py_ssize_t strides[] = {0, 0};
    Py_ssize_t index[] = {0, 0};
    PyBuffer_FillContiguousStrides(2, shape, strides, 1, 'C');
    Py_buffer const view = {
        .buf = text, .len = 6, .itemsize = 1, .ndim = 2, .shape = shape, .strides = strides};
    SEE(PyBuffer_IsContiguous(&view, 'A'));
#if SINCE(12)
    SEE(PyBuffer_GetPointer(&view, index));
#endif
#if !SINCE(13)
    exported__Py_add_one_to_index_C(2, index, shape);
    exported__Py_add_one_to_index_F(2, index, shape);
#endif
    SEE(Py_UNICODE_ISALPHA(0xE4) + Py_UNICODE_ISDIGIT('1') + Py_UNICODE_ISDECIMAL('1'));
    SEE(Py_UNICODE_ISNUMERIC(0xBD) + Py_UNICODE_ISLOWER(0xE4) + Py_UNICODE_ISUPPER(0xC4));
    SEE(Py_UNICODE_ISTITLE(0x1C5) + Py_UNICODE_ISSPACE(0x2003) + Py_UNICODE_ISLINEBREAK(0x2028));
    SEE(Py_UNICODE_ISPRINTABLE(0xE4) + Py_UNICODE_TODIGIT('1') + Py_UNICODE_TODECIMAL('1'));
    SEE(Py_UNICODE_TOLOWER(0xC4) + Py_UNICODE_TOUPPER(0xE4));
    number = Py_UNICODE_TONUMERIC(0xBD);
#if SINCE(13)
    SEE(Py_HashPointer(text));
    SEE(Py_GetConstantBorrowed(Py_CONSTANT_NONE));
#else
    SEE(_Py_HashBytes(text, 5));
    SEE(_Py_HashPointer(text));
    SEE(exported__Py_HashPointerRaw(text));
#endif
#if SINCE(14)
    SEE(Py_HashBuffer(text, 5));
    SEE(exported_Py_REFCNT(Py_None));
    SEE(exported_Py_TYPE(Py_None));
#endif
    SEE(_Py_HashDouble(Py_None, 1.5));
    SEE(exported_Py_Is(Py_None, Py_None) + exported_Py_IsNone(Py_None));
    SEE(exported_Py_IsTrue(Py_None) + exported_Py_IsFalse(Py_None));
}

/* call_all() -> None */
static PyObject* call_all(PyObject* module, PyObject* none) {
    SEE(module != none);
    PyInterpreterState* const interpreter = PyInterpreterState_Get();
    Py_BEGIN_ALLOW_THREADS;
    threads_and_locks();
    thread_states(interpreter);
    what_python_is();
    signals_and_dumps(interpreter);
    memory();
    times();
    numbers_and_text();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/* call(name) -> None: does not return where the call, without the GIL, crashes. */
static PyObject* call(PyObject* module, PyObject* name) {
    char const* const wanted = PyUnicode_AsUTF8(name);
    SEE(module);
    int known = 1;
    Py_BEGIN_ALLOW_THREADS;
    if (strcmp(wanted, "Py_GetRecursionLimit") == 0) {
        SEE(Py_GetRecursionLimit());
    } else if (strcmp(wanted, "Py_SetRecursionLimit") == 0) {
        Py_SetRecursionLimit(1000);
    } else if (strcmp(wanted, "PyThread_GetInfo") == 0) {
        SEE(PyThread_GetInfo());
    } else if (strcmp(wanted, "PyThread_get_stacksize") == 0) {
        SEE(PyThread_get_stacksize());
    } else if (strcmp(wanted, "Py_EncodeLocale") == 0) {
        SEE(Py_EncodeLocale(L"text", NULL));
#if SINCE(14)
    } else if (strcmp(wanted, "PyConfig_Get") == 0) {
        SEE(PyConfig_Get("verbose"));
#endif
#if SINCE(15)
    } else if (strcmp(wanted, "PyInterpreterView_FromCurrent") == 0) {
        SEE(PyInterpreterView_FromCurrent());
#endif
    } else {
        known = 0;
    }
    Py_END_ALLOW_THREADS;
    if (!known) {
        return PyErr_Format(PyExc_LookupError, "%s is not for this Python", wanted);
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"call_all", &call_all, METH_NOARGS, NULL},
                                {"call", &call, METH_O, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "legal_calls", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_legal_calls(void) { return PyModule_Create(&definition); }
