// host: a python3 of one's own, with C++ modules built in.
#pragma once

#include <handoff/detail/linked_python.hpp>
#include <handoff/gil/python.hpp>

#include <string_view>

namespace handoff {

/// Runs the Python command line. To its user the program is `python3`, with more modules.
///
///     int main(int argc, char* argv[]) {
///         handoff::host python;
///         python.add_module("Foo", &PyInit_Foo);
///         return python.run(argc, argv);
///     }
///
/// A process has one Python life, be it a host's or an interpreter's. Boost.Python's manual says
/// never to finalize; what breaks is what comes after: a second start, and Python objects with
/// static storage. The first is refused, the second must not be made.
///
/// Threads: the main thread only.
class host {
public:
    /// The argument is not yours to give.
    explicit host(detail::linked_python linked = HANDOFF_PYTHON_OF_THIS_PROGRAM) noexcept
        : linked_(linked) {}

    /// Builds a module in: `import name` calls `init`.
    /// Throws: std::invalid_argument for a name that is no identifier or is built in already, or
    ///         no function; std::logic_error once Python has started.
    host& add_module(std::string_view name, PyObject* (*init)());

    /// Everything `python3` does with these arguments and this environment, from its command line
    /// to the exit code: scripts, -m, -c, standard input, the interactive prompt. And options of
    /// Handoff's, as `-X gilwatch=SECONDS`, which --help lists; one that is misspelt is
    /// refused, with exit code 2.
    /// `import gilcheck`, giltrace, gilwatch and handoff_ticker find what is installed in the
    /// program's own PREFIX, unless they are found elsewhere, or -S is given.
    /// Returns: the exit code. An interpreter that cannot start: a message on stderr, and 1.
    ///          Before Python 3.14 it does not return from sys.exit(): Python finalizes,
    ///          and exit()s. Nor does it ever when the gate has abandoned a native thread: then
    ///          Python finalizes, stdio is flushed, and the process ends with that code, without
    ///          the destructors of static objects and what atexit() knows.
    /// Says on stderr when the program contains a static libpython, and the installed Python has
    /// been updated since it was built.
    /// GIL:     not held on return; Python has been finalized.
    /// Throws:  std::logic_error when Python has started before in this process.
    int run(int argc, char* argv[]);

private:
    detail::linked_python linked_;
};

}  // namespace handoff
