// channels: a Boost.Python module with channels of several kinds of values, for tests.
#include <handoff/channel_class.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace py = boost::python;
using handoff::channel;
using handoff::producer;
using handoff::pushed;

namespace {

using number = std::int64_t;

enum class kind : std::uint8_t { first = 1, second = 2 };

/// With gaps between its fields, and one after them.
struct reading {
    std::uint8_t sensor = 0;
    double time = 0;
    std::array<float, 3> position{};
    kind of = kind::first;
    bool valid = false;
    std::int16_t level = 0;
    double hidden = 0;  // not described
    std::uint8_t last = 0;
};

/// Nobody tells Python of it.
struct secret {
    std::string text;
};

/// Which its converter refuses when it is odd.
struct even {
    number value = 0;
};

struct even_to_python {
    static PyObject* convert(even const& converted) {
        if (converted.value % 2 != 0) {
            throw std::range_error(std::to_string(converted.value) + " is odd");
        }
        return PyLong_FromLongLong(converted.value);
    }
};

/// Whose conversion is what a script has set: handle(value).
struct handled {
    number value = 0;
};

struct handled_to_python {
    static PyObject* convert(handled const& converted) {
        py::object const handle = py::import("channels").attr("handle");
        return py::incref(handle(converted.value).ptr());
    }
};

/// Whose converter breaks its own promise: it returns null without an error.
struct broken {
    number value = 0;
};

struct broken_to_python {
    static PyObject* convert(broken const& converted) {
        return converted.value == 1 ? nullptr : PyLong_FromLongLong(converted.value);
    }
};

// What Python's module struct has no name for is refused by the compiler, not taken for another.
static_assert(!handoff::detail::is_plain<long double>);
static_assert(!handoff::detail::is_plain<long double const>);
static_assert(!handoff::detail::is_plain<long double volatile>);
#ifdef __SIZEOF_INT128__
__extension__ using wide = __int128;
static_assert(!handoff::detail::is_plain<wide>);
#endif
#ifdef __STDCPP_FLOAT16_T__
static_assert(handoff::detail::element_of<_Float16>().code == 'e');
#endif
#ifdef __STDCPP_BFLOAT16_T__
static_assert(!handoff::detail::is_plain<decltype(0.0bf16)>);
#endif
static_assert(handoff::detail::element_of<double const>().code == 'd');
static_assert(handoff::detail::element_of<bool const>().code == '?');
static_assert(handoff::detail::element_of<std::array<float, 3> const>().count == 3);
static_assert(handoff::detail::element_of<kind const[2]>().code == 'B');

/// Cannot be copied.
using text = std::unique_ptr<std::string>;

struct text_to_python {
    static PyObject* convert(text const& converted) {
        return PyUnicode_FromString(converted->c_str());
    }
};

reading reading_of(number n) {
    auto const small = static_cast<std::uint8_t>(n % 100);
    auto const third = static_cast<float>(n);
    return {.sensor = small,
            .time = static_cast<double>(n) / 4,
            .position = {third, third + 1, third + 2},
            .of = n % 2 == 0 ? kind::first : kind::second,
            .valid = n % 3 == 0,
            .level = static_cast<std::int16_t>(-n),
            .hidden = -1,
            .last = static_cast<std::uint8_t>(small + 1)};
}

template <class T>
T value_of(number n) {
    if constexpr (std::is_same_v<T, reading>) {
        return reading_of(n);
    } else if constexpr (std::is_same_v<T, secret>) {
        return {.text = std::to_string(n)};
    } else if constexpr (std::is_same_v<T, even> || std::is_same_v<T, handled> ||
                         std::is_same_v<T, broken>) {
        return {.value = n};
    } else if constexpr (std::is_same_v<T, text>) {
        return std::make_unique<std::string>(std::to_string(n));
    } else if constexpr (std::is_same_v<T, std::string>) {
        return std::to_string(n);
    } else {
        return static_cast<T>(n);
    }
}

/// Threads that push, and how many values each result met. Joined when it is destroyed.
class pushing {
public:
    template <class T>
    pushing(channel<T>& to, number threads, number each) {
        for (number of = 0; of < threads; ++of) {
            threads_.emplace_back([this, out = producer<T>(to), of, each] {
                for (number n = 0; n < each; ++n) {
                    ++results_.at(static_cast<std::size_t>(out.push(value_of<T>(of * each + n))));
                }
            });
        }
    }

    void join() {
        handoff::gil_release while_joining;
        for (auto& each : threads_) {
            if (each.joinable()) {
                each.join();
            }
        }
    }
    ~pushing() { join(); }
    pushing(pushing const&) = delete;
    pushing& operator=(pushing const&) = delete;

    [[nodiscard]] number result(pushed which) const {
        return results_.at(static_cast<std::size_t>(which));
    }

private:
    std::array<std::atomic<number>, 3> results_{};
    std::vector<std::thread> threads_;
};

char const* push(producer<number> const& out, number n) {
    static constexpr std::array names{"taken", "refused", "closed"};
    handoff::gil_release while_pushing;
    return names.at(static_cast<std::size_t>(out.push(n)));
}

template <class T>
void push_range(channel<T>& to, number from, number end) {
    handoff::gil_release while_pushing;
    for (producer<T> const out(to); from < end; ++from) {
        out.push(value_of<T>(from));
    }
}

struct no_standard_exception {};

template <class T>
void close_with(channel<T>& closed, std::string const& error) {
    handoff::gil_release while_closing;
    producer<T> const out(closed);
    if (error == "none of the standard's") {
        out.close(std::make_exception_ptr(no_standard_exception()));
    } else if (error == "python") {
        out.close(std::make_exception_ptr(py::error_already_set()));
    } else {
        out.close(std::make_exception_ptr(std::out_of_range(error)));
    }
}

std::shared_ptr<channel<number>> made_here(std::ptrdiff_t capacity) {
    return std::make_shared<channel<number>>(capacity);
}

/// As a device has one: each look at it makes another Python object of the same channel.
struct owner {
    std::shared_ptr<channel<number>> numbers = made_here(10);
};

/// A thread of C++'s that pushes until it is told that the channel is closed, and outlives Python.
void push_for_ever(channel<number>& to) {
    std::thread([out = producer<number>(to)] {
        while (out.push(0) != pushed::closed) {
        }
    }).detach();
}

template <class T>
handoff::channel_class<T> bind(char const* name) {
    py::def("push_range", &push_range<T>);
    py::def("close_with", &close_with<T>);
    py::def(
        "start", +[](channel<T>& to, number threads, number each) {
            return std::make_shared<pushing>(to, threads, each);
        });
    return handoff::channel_class<T>(name);
}

}  // namespace

BOOST_PYTHON_MODULE(channels) {
    bind<number>("Numbers");
    bind<double>("Doubles");
    bind<std::string>("Strings");
    bind<secret>("Secrets");
    bind<even>("Evens");
    bind<handled>("Handled");
    bind<broken>("Broken");
    bind<text>("Texts");
    bind<reading>("Readings")
        .field("time", &reading::time)
        .field("sensor", &reading::sensor)
        .field("position", &reading::position)
        .field("of", &reading::of)
        .field("valid", &reading::valid)
        .field("level", &reading::level)
        .field("last", &reading::last);
    py::to_python_converter<even, even_to_python>();
    py::to_python_converter<handled, handled_to_python>();
    py::to_python_converter<broken, broken_to_python>();
    py::to_python_converter<text, text_to_python>();

    py::class_<producer<number>>("Producer", py::init<channel<number>&>())
        .def("push", &push)
        .def(
            "close", +[](producer<number> const& out) { out.close(); })
        .add_property("closed", &producer<number>::closed);
    py::class_<pushing, std::shared_ptr<pushing>, boost::noncopyable>("Pushing", py::no_init)
        .def("join", &pushing::join)
        .def(
            "result",
            +[](pushing const& its, int which) { return its.result(static_cast<pushed>(which)); });
    py::def("made_here", &made_here);
    py::class_<owner>("Owner").add_property("numbers", +[](owner const& of) { return of.numbers; });
    py::def("push_for_ever", &push_for_ever);
}
