// host: your own python3, with C++ modules built in.
#pragma once

#include <handoff/detail/linked_python.hpp>
#include <handoff/gil/python.hpp>

#include <string_view>

namespace handoff {

/// Runs the Python command line. For its user the program is `python3` with more modules.
///
///     int main(int argc, char* argv[]) {
///         handoff::host python;
///         python.add_module("Foo", &PyInit_Foo);
///         return python.run(argc, argv);
///     }
///
/// A process can start Python once, with a host or an interpreter. Boost.Python's manual says never
/// to finalize Python. Two things break after that: a second start, and Python objects with static
/// storage. A second start is refused; you must not have such objects.
///
/// Threads: the main thread only.
class host {
public:
    /// Do not pass the argument.
    explicit host(detail::linked_python linked = HANDOFF_PYTHON_OF_THIS_PROGRAM) noexcept
        : linked_(linked) {}

    /// Builds a module in: `import name` calls `init`.
    /// Throws: std::invalid_argument if the name is not an identifier or is already built in, or
    ///         there is no function; std::logic_error once Python has started.
    host& add_module(std::string_view name, PyObject* (*init)());

    /// Does everything that `python3` does with these arguments and this environment, from its
    /// command line to the exit code: scripts, -m, -c, standard input, the interactive prompt. It
    /// also has Handoff's own options, such as `-X gilwatch=SECONDS`, which --help lists. A
    /// misspelt one is refused, with exit code 2. `import gilcheck`, giltrace, gilwatch and
    /// handoff_ticker find what is installed in the program's own PREFIX, unless they are found
    /// elsewhere, or -S is given.
    /// Returns: the exit code. If the interpreter cannot start: a message on stderr, and 1.
    ///          Before Python 3.14 it does not return from sys.exit(): Python finalizes,
    ///          and exit()s. It never returns if the gate has abandoned a native thread. Then
    ///          Python finalizes, stdio is flushed, and the process ends with that code. The
    ///          destructors of static objects and atexit() functions of C are not run.
    /// If the program contains a static libpython, and the installed Python has been updated since
    /// it was built, stderr says so.
    /// GIL:     not held on return; Python has been finalized.
    /// Throws:  std::logic_error if Python has been started before in this process.
    int run(int argc, char* argv[]);

private:
    detail::linked_python linked_;
};

}  // namespace handoff
