// What the modules bind, each in its library's way: small functions, whose call is what costs.
#pragma once

namespace bound {

// All modules may be in one process, where Boost.Python has one table of types.
inline namespace BOUND_MODULE {

struct thing {
    thing() = default;
    explicit thing(int start) : value(start) {}

    [[nodiscard]] int get() const { return value; }
    void set(int to) { value = to; }
    void poke() { ++value; }
    [[nodiscard]] double put(double by) const { return value + by; }
    [[nodiscard]] int peer(thing const& other) const { return value + other.value; }
    [[nodiscard]] int at(int index) const { return index + value; }
    [[nodiscard]] int size() const { return value; }
    [[nodiscard]] thing plus(thing const& other) const { return thing(value + other.value); }

    int value = 3;
};

struct derived : thing {};

}  // namespace BOUND_MODULE

inline int add(int a, int b) { return a + b; }

}  // namespace bound
