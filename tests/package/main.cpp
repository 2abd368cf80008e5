// A host with the module robot, as a user of the package writes it.
#include <handoff/host.hpp>

extern "C" PyObject* PyInit_robot();

int main(int argc, char* argv[]) {
    return handoff::host().add_module("robot", &PyInit_robot).run(argc, argv);
}
