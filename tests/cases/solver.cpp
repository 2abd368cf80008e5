// A Python subclass's override is called by a solver's threads.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <array>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace {

namespace py = boost::python;

struct cost {
    virtual ~cost() = default;
    virtual double eval(double x) = 0;
};

struct cost_from_python : cost, py::wrapper<cost> {
    double eval(double x) override { return handoff::override_of<double>(this, "eval")(x); }
};

double solve(cost& c) {
    std::array<double, 2> sum{};
    std::array<std::exception_ptr, 2> failed;
    {
        std::vector<std::jthread> threads;
        threads.reserve(sum.size());
        for (std::size_t t = 0; t < sum.size(); ++t) {
            threads.emplace_back([&, t] {
                try {
                    for (int i = 0; i < 1000; ++i) {
                        sum.at(t) += c.eval(i);
                    }
                } catch (...) {
                    failed.at(t) = std::current_exception();
                }
            });
        }
    }
    for (auto const& each : failed) {
        if (each != nullptr) {
            std::rethrow_exception(each);
        }
    }
    return sum[0] + sum[1];
}

}  // namespace

HANDOFF_PYTHON_MODULE(solver) {
    py::class_<cost_from_python, boost::noncopyable>("Cost").def("eval",
                                                                 py::pure_virtual(&cost::eval));
    py::def("solve", handoff::without_gil(&solve));
}
