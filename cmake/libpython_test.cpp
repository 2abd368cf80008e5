// Can this libpython be embedded? Starts the Python named, imports modules, says which it is,
// stops.

#include <Python.h>

#include <cstdio>

int main(int argc, char** argv) {
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    // Finds the standard library as that interpreter would.
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, argv[1]);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        std::puts(status.err_msg != nullptr ? status.err_msg : "Python did not start");
        return 1;
    }
    for (int i = 2; i < argc; ++i) {
        PyObject* module = PyImport_ImportModule(argv[i]);
        if (module == nullptr) {
            std::printf("import %s failed\n", argv[i]);
            std::fflush(stdout);
            PyErr_Print();
            return 1;
        }
        Py_DECREF(module);
    }
    const char* say =
        "import sys; print(f'{sys.hexversion:x} {sys.implementation.cache_tag}{sys.abiflags}')";
    if (PyRun_SimpleString(say) != 0) return 1;
    return Py_FinalizeEx() == 0 ? 0 : 1;
}
