// application: runs the statements after -c as an application does, by handoff::interpreter.
#include <handoff/interpreter.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char* argv[]) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: application -c STATEMENTS\n");
        return 2;
    }
    handoff::interpreter python;
    python.start();
    try {
        python.run_string(argv[2]);
        python.stop();
        return 0;
    } catch (handoff::python_error const& error) {
        std::fputs(error.traceback().c_str(), stderr);
    } catch (std::exception const& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
    }
    return 1;
}
