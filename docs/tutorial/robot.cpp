// robot: a python3 with a module of its own.
#include <handoff/host.hpp>

#include <boost/python.hpp>

class robot {
public:
    void step() { ++steps_; }
    int steps() const { return steps_; }

private:
    int steps_ = 0;
};

BOOST_PYTHON_MODULE(robot) {
    boost::python::class_<robot>("Robot")
        .def("step", &robot::step)
        .add_property("steps", &robot::steps);
}

int main(int argc, char* argv[]) {
    handoff::host python;
    python.add_module("robot", &PyInit_robot);
    return python.run(argc, argv);
}
