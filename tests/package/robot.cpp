// Module robot for the host in main.cpp: one function, to see that the module is there.
#include <boost/python.hpp>

int legs() { return 4; }

BOOST_PYTHON_MODULE(robot) { boost::python::def("legs", &legs); }
