// What Python passes to C++ here, and a thread that is busy in Python meanwhile.
#pragma once

#include <handoff/gil/python.hpp>

#include <string>
#include <thread>

namespace bench {

/// A C++ class whose virtual function Python overrides.
struct cost {
    virtual ~cost() = default;
    virtual double eval(double x) = 0;
};

/// What Python owns, and C++ shares.
struct frame {
    int number = 0;
};

/// A global variable of the script that main.cpp runs; it lives until Python ends. GIL: held.
/// Throws: std::logic_error where there is none.
PyObject* passed(std::string const& name);

/// While it lives, another thread executes Python code: it lets go of the GIL only when asked to,
/// after a switch interval of 5 ms. GIL: not held.
class busy_python {
public:
    busy_python();
    ~busy_python();
    busy_python(busy_python const&) = delete;
    busy_python& operator=(busy_python const&) = delete;

    /// Returns when it executes Python code: who has just released the GIL would get it back at
    /// once, before the other has woken up.
    void await_its_turn() const;

private:
    std::thread thread_;
};

}  // namespace bench
