#include <boost/python.hpp>

int legs() { return 4; }

BOOST_PYTHON_MODULE(robot) { boost::python::def("legs", &legs); }
