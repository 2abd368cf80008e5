// handoff: python3 with Foo built in.
#include <handoff/foo_module.hpp>
#include <handoff/host.hpp>

int main(int argc, char* argv[]) {
    handoff::host python;
    python.add_module("Foo", &PyInit_Foo);
    return python.run(argc, argv);
}
