// Bindings of every kind, as module plain_calls, and as module fast_calls with fast().
#include <handoff/boost_python/fast.hpp>
#include <handoff/boost_python/fast_class.hpp>
#include <handoff/boost_python/init_without_gil.hpp>

#include <boost/python.hpp>
#ifndef __clang_analyzer__  // Clang 16 and later refuses those of Boost 1.74
#include <boost/python/suite/indexing/map_indexing_suite.hpp>
#include <boost/python/suite/indexing/vector_indexing_suite.hpp>
#endif

#include <boost/shared_ptr.hpp>

#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace py = boost::python;

// NOLINTBEGIN: signatures and classes of every kind, as users have them
namespace CALLS_MODULE {

#ifdef CALLS_ARE_FAST
template <class T, class... Options>
using a_class = handoff::fast_class_<T, Options...>;
template <class Self = void, class F>
auto bound(F f) {
    return handoff::fast<Self>(f);
}
template <class F>
auto released(F f) {
    return handoff::fast(handoff::without_gil(f));
}
#else
template <class T, class... Options>
using a_class = py::class_<T, Options...>;
template <class Self = void, class F>
auto bound(F f) {
    return f;
}
template <class F>
auto released(F f) {
    return handoff::without_gil(f);
}
#endif

enum class color { red = 1, green = 2 };

struct own_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct unknown_to_python {
    virtual ~unknown_to_python() = default;
    long inherited() { return 77; }
    long padding = 5;
};

struct lens {
    int focus = 35;
    int get() const { return focus; }
    void set(int to) { focus = to; }
};

struct thing : unknown_to_python {
    thing() = default;
    explicit thing(int start) : value(start) {}
    int get() const noexcept { return value; }
    void set(int to) { value = to; }
    void poke() { ++value; }
    double put(double by) { return value + by; }
    int peer(thing const& other) const { return value + other.value; }
    int reference(thing& other) { return other.value++; }
    int pointer(thing const* other) const { return other == nullptr ? -1 : other->value; }
    int copied(thing other) { return value * other.value; }
    long shared(std::shared_ptr<thing> const& other) { return other ? other->value : -2L; }
    lens& part() { return lens_; }
    thing& self() { return *this; }
    thing made(int start) const { return thing(start + value); }
    std::shared_ptr<thing> made_shared() { return std::make_shared<thing>(value); }
    thing* nothing() { return nullptr; }
    std::string name(std::string const& before, std::string after) { return before + "|" + after; }
    void fail(int how) {
        if (how == 0) {
            throw own_error("own");
        }
        if (how == 1) {
            throw std::out_of_range("range");
        }
        if (how == 2) {
            PyErr_SetString(PyExc_KeyError, "set");
            py::throw_error_already_set();
        }
        if (how == 3) {
            throw how;
        }
    }
    int at(int index) const { return index + value; }
    int size() const { return value; }
    thing plus(thing const& other) const { return thing(value + other.value); }
    bool equals(thing const& other) const { return value == other.value; }
    void keep(lens* held) { kept = held; }
    int value = 3;
    lens lens_;
    lens* kept = nullptr;
};

struct derived : thing {
    int more = 8;
    int get_more() const { return more; }
};
struct other_base {
    virtual ~other_base() = default;
    int second() const { return 22; }
    int filler = 1;
};
struct joined : other_base, thing {};

struct shape {
    virtual ~shape() = default;
    virtual int sides(int of) { return of; }
    int ask(int of) { return sides(of); }
};
struct shape_wrapper : shape, py::wrapper<shape> {
    int sides(int of) override {
        if (py::override const f = this->get_override("sides")) {
            return py::call<int>(f.ptr(), of);
        }
        return shape::sides(of);
    }
    int default_sides(int of) { return shape::sides(of); }
};

struct lone {
    int of_int(int of) { return of; }
    std::string of_text(std::string const& of) { return of; }
};

struct from_int {
    from_int(int of) : value(of) {}  // NOLINT(misc-explicit-constructor)
    int value;
};

int add(int a, int b) { return a + b; }
long wide(long long a, unsigned char b) { return static_cast<long>(a) + b; }
unsigned natural(unsigned long a) { return static_cast<unsigned>(a); }
double half(double of) { return of / 2; }
float narrow(float of) { return of; }
bool negated(bool of) { return !of; }
std::string joined_text(std::string const& a, std::string const& b) { return a + b; }
std::string of_characters(char const* text) { return text == nullptr ? "null" : text; }
char first(char of) { return of; }
color mixed(color of) { return of == color::red ? color::green : color::red; }
py::object same(py::object const& of) { return of; }
int length_of(py::list const& of) { return static_cast<int>(py::len(of)); }
int converted(from_int const& of) { return of.value; }
int five(int a, int b, int c, int d, int e) { return a + 10 * b + 100 * c + 1000 * d + 10000 * e; }
int none() { return 4; }
std::string over_int(int) { return "int"; }
std::string over_text(std::string const&) { return "text"; }
std::string over_double(double) { return "double"; }
std::string over_two(int, int) { return "two"; }
std::string over_thing(thing const&) { return "thing"; }
std::string over_long(long) { return "long"; }

struct pickled : py::pickle_suite {
    static py::tuple getinitargs(thing const& of) { return py::make_tuple(of.value); }
};

// Bound without a word about how, by class_ or by fast_class_.
struct whole {
    int get() const { return of; }
    int get(int more) const { return of + more; }
    void set(int to) { of = to; }
    int of = 12;
};

// Visitors, data members, and a class that wraps another, whose members it has.
struct number {
    explicit number(int value = 0) : of(value) {}
    friend number operator+(number const& a, number const& b) { return number(a.of + b.of); }
    friend number operator*(int a, number const& b) { return number(a * b.of); }
    number& operator-=(int by) {
        of -= by;
        return *this;
    }
    friend bool operator==(number const& a, number const& b) { return a.of == b.of; }
    friend std::ostream& operator<<(std::ostream& out, number const& a) { return out << a.of; }
    explicit operator double() const { return of; }
    int of;
    lens part;
    std::string name = "number";
    color shade = color::red;
    inline static int how_many = 5;
};
struct held_shape : shape {
    int corners = 3;
    int get_corners() const { return corners; }
};
struct held_shape_wrapper : held_shape, py::wrapper<held_shape> {};

/// Its methods call a Python function.
struct caller {
    explicit caller(py::object const& callback) : function(callback) {}
    py::object call() { return function(); }
    void handle(int /*signal*/, py::object const& /*frame*/) {
        py::object const own = function;
        own();
    }
    py::object function;
};

/// Runs Python code in functions that Python's own code in C calls, and uses its memory afterwards.
struct lent {
    explicit lent(py::object const& callback) : function(callback) {}
    std::string shown() {
        function();
        return name;
    }
    std::size_t size() {
        function();
        return name.size();
    }
    py::object function;
    std::string name = "a name that is too long to be within the object";
};

/// Throws what has a translator that sets no error.
struct silent {};
int throws_silently(int /*unused*/) { throw silent(); }
int throws_no_error(int /*unused*/) { throw py::error_already_set(); }

/// What is converted to no Python object, without an error.
struct not_shown {};
struct no_object {
    static PyObject* convert(not_shown const& /*unused*/) { return nullptr; }
};
int calls_of_nothing = 0;
not_shown shows_nothing(int /*unused*/) {
    ++calls_of_nothing;
    return {};
}

/// An argument that takes the next item of an iterator.
struct next_item {
    static void* convertible(PyObject* from) {
        return PyIter_Check(from) != 0 ? PyIter_Next(from) : nullptr;
    }
    static void construct(PyObject* /*unused*/,
                          py::converter::rvalue_from_python_stage1_data* data) {
        Py_DECREF(static_cast<PyObject*>(data->convertible));
        PyErr_SetString(PyExc_ValueError, "never constructed");
        py::throw_error_already_set();
    }
};
int takes_next(next_item /*unused*/, int /*unused*/) { return 0; }
py::list takes_rest(py::object const& from, py::object const& /*unused*/) { return py::list(from); }

/// A function of another class, with an overload.
struct lender {
    int of_int(int of) { return of; }
};
struct borrower : lender {
    int of_text(std::string const& /*unused*/) { return -1; }
};

/// Policies that refuse a call, and set no error.
struct refusing : py::default_call_policies {
    static inline int asked = 0;
    template <class Arguments>
    static bool precall(Arguments const& /*unused*/) {
        ++asked;
        return false;
    }
};

/// Runs Python code before it uses the others.
int focus_after(lens const& one, lens const& other, py::object const& callback) {
    callback();
    return static_cast<int>(10 * one.get() + other.get());
}

int beside_error(int result) {
    PyErr_SetString(PyExc_KeyError, "left");
    return result;
}

void populate(py::object const& space) {
    py::scope const inside(space);
    py::def("added", bound(&none));
}

BOOST_PYTHON_MEMBER_FUNCTION_OVERLOADS(whole_overloads, times, 0, 1)
struct multiple : whole {
    int times(int by = 2) { return of * by; }
};

void translate(own_error const& error) { PyErr_SetString(PyExc_LookupError, error.what()); }

BOOST_PYTHON_MODULE(CALLS_MODULE) {
    py::register_exception_translator<own_error>(&translate);
    py::enum_<color>("color").value("red", color::red).value("green", color::green);
    py::implicitly_convertible<int, from_int>();
    py::class_<from_int>("from_int", py::init<int>());
    py::class_<caller>("caller", py::init<py::object>())
        .def("call", bound(&caller::call))
        .def("handle", bound(&caller::handle));
    {
        py::docstring_options const no_docstrings(false, false, false);
        py::class_<lone> with_alias("lone");
        with_alias.def("f", &lone::of_int);
        with_alias.attr("g") = with_alias.attr("f");
        with_alias.def("f", bound(&lone::of_text));
    }
    py::class_<lent>("lent", py::init<py::object>())
        .def("__repr__", bound(&lent::shown))
        .def("__str__", bound(&lent::shown))
        .def("__len__", bound(&lent::size))
        .def("__bool__", bound(&lent::size))
        .add_property("size", bound<lent>(&lent::size));
    py::def("shown", bound(&lent::shown));
    py::register_exception_translator<silent>(+[](silent const& /*unused*/) {});
    py::to_python_converter<not_shown, no_object>();
    py::def("silent", bound(&negated));
    py::def("silent", bound(&throws_silently));
    py::def("without_error", bound(&negated));
    py::def("without_error", bound(&throws_no_error));
    py::def("only_silent", bound(&throws_silently));
    py::def("no_object", bound(&shows_nothing));
    py::def("no_object_then_fast", bound(&negated));
    py::def("no_object_then_fast", bound(&shows_nothing));
    py::def("no_object_then_plain", &negated);
    py::def("no_object_then_plain", bound(&shows_nothing));
    py::def("calls_of_nothing", +[] { return calls_of_nothing; });
    py::converter::registry::push_back(&next_item::convertible, &next_item::construct,
                                       py::type_id<next_item>());
    py::def("rest_by_plain", &takes_rest);
    py::def("rest_by_plain", bound(&takes_next));
    py::def("rest_by_fast", bound(&takes_rest));
    py::def("rest_by_fast", bound(&takes_next));
    py::class_<lender> lends("lender");
    lends.def("f", bound(&lender::of_int), py::arg("number"));
    py::class_<borrower, py::bases<lender>> borrows("borrower");
    borrows.attr("f") = lends.attr("f");
    borrows.def("f", bound(&borrower::of_text), py::arg("text"));
    py::def("populate", &populate);
    py::def("applied_to_itself", bound(+[](py::object const& of) { return of(of); }));
    py::def("refused", bound(&add), refusing());
    py::def("older", bound(&negated));
    py::def("older", bound(+[](bool /*unused*/) { return 7; }), refusing());
    py::class_<lens>("lens").add_property("focus", bound<lens>(&lens::get),
                                          bound<lens>(&lens::set));
    py::def("focus_after", bound(&focus_after));
    py::def("beside_error", bound(&beside_error));
    py::class_<thing>("thing")
        .def(py::init<int>())
        .def_pickle(pickled())
        .def("inherited", bound<thing>(&thing::inherited))
        .def("get", bound(&thing::get), "What it is.")
        .def("set", bound(&thing::set), py::arg("to"))
        .def("poke", bound(&thing::poke))
        .def("put", bound(&thing::put), (py::arg("by") = 0.5), "Puts.")
        .def("peer", bound(&thing::peer))
        .def("released_peer", released(&thing::peer))
        .def("reference", bound(&thing::reference))
        .def("pointer", bound(&thing::pointer))
        .def("copied", bound(&thing::copied))
        .def("shared", bound(&thing::shared))
        .def("part", bound(&thing::part), py::return_internal_reference<>())
        .def("self", bound(&thing::self), py::return_self<>())
        .def("existing", bound(&thing::self),
             py::return_value_policy<py::reference_existing_object>())
        .def("copy", bound(&thing::self), py::return_value_policy<py::copy_non_const_reference>())
        .def("made", bound(&thing::made))
        .def("made_shared", bound(&thing::made_shared))
        .def("nothing", bound(&thing::nothing), py::return_value_policy<py::manage_new_object>())
        .def("name", bound(&thing::name), (py::arg("before"), py::arg("after") = "z"))
        .def("fail", bound(&thing::fail))
        .def("keep", bound(&thing::keep), py::with_custodian_and_ward<1, 2>())
        .def("__getitem__", bound(&thing::at))
        .def("__len__", bound(&thing::size))
        .def("__add__", bound(&thing::plus))
        .def("__eq__", bound(&thing::equals))
        .def("over", bound(+[](thing const&, int) { return 1; }))
        .def(
            "over", +[](thing const&, std::string const&) { return 2; })
        .def("over", bound(+[](thing const&, thing const&) { return 3; }))
        .def("fixed", bound(&none))
        .staticmethod("fixed")
        .add_property("value", bound<thing>(&thing::get), bound<thing>(&thing::set));
    py::register_ptr_to_python<std::shared_ptr<thing>>();
    py::class_<derived, py::bases<thing>>("derived").def("more", bound(&derived::get_more));
    py::class_<other_base>("other_base").def("second", bound(&other_base::second));
    py::class_<joined, py::bases<other_base, thing>, std::shared_ptr<joined>>("joined");
    py::class_<shape_wrapper, boost::noncopyable>("shape")
        .def("sides", bound(&shape::sides), &shape_wrapper::default_sides)
        .def("ask", bound(&shape::ask));

    a_class<multiple> of_whole("multiple");
    of_whole.def(py::init<>())
        .def("get", static_cast<int (multiple::*)() const>(&whole::get), "Gets.")
        .def("get", static_cast<int (whole::*)(int) const>(&whole::get), py::arg("more"), "More.")
        .add_property("value", static_cast<int (multiple::*)() const>(&whole::get),
                      static_cast<void (multiple::*)(int)>(&whole::set))
        .def("times", &multiple::times, whole_overloads())
        .def_readwrite("of", &whole::of)
        .def("set", &whole::set, py::arg("to"), "Sets.", py::default_call_policies());
    a_class<number>("number", py::init<int>())
        .def(py::self + py::self)
        .def(int() * py::self)
        .def(py::self -= int())
        .def(py::self == py::self)
        .def(py::self_ns::str(py::self))
        .def(py::self_ns::float_(py::self))
        .def_readwrite("of", &number::of, "Its value.")
        .def_readonly("part", &number::part)
        .def_readonly("name", &number::name)
        .def_readwrite("shade", &number::shade)
        .def_readwrite("how_many", number::how_many)
        .add_property("twice", +[](number const& a) { return a.of * 2; }, "Two of it.");
#ifndef __clang_analyzer__
    a_class<std::vector<number>>("numbers").def(py::vector_indexing_suite<std::vector<number>>());
    a_class<std::map<std::string, number, std::less<>>>("counts").def(
        py::map_indexing_suite<std::map<std::string, number, std::less<>>>());
#endif
    a_class<held_shape_wrapper, boost::noncopyable>("held_shape")
        .def_readwrite("corners", &held_shape::corners)
        .add_property("same_corners", &held_shape::get_corners);
    py::def(
        "a_held_shape", +[] { return new held_shape; },
        py::return_value_policy<py::manage_new_object>());
#ifdef CALLS_ARE_FAST
    py::list left;
    for (auto const& each : of_whole.plain()) {
        left.append(py::make_tuple(each.name, each.reason));
    }
    py::scope().attr("left_plain") = left;
    // Boost.Python has no conversion to it.
    py::def("size_of_view", bound(+[](std::string_view of) { return of.size(); }));
#endif

    py::def("add", bound(&add));
    py::def("released_add", released(&add), (py::arg("a"), py::arg("b") = 5), "Adds.");
    py::def("wide", bound(&wide));
    py::def("natural", bound(&natural));
    py::def("half", bound(&half), py::arg("of"), "Halves.");
    py::def("narrow", bound(&narrow));
    py::def("negated", bound(&negated));
    py::def("joined_text", bound(&joined_text));
    py::def("of_characters", bound(&of_characters));
    py::def("first", bound(&first));
    py::def("mixed", bound(&mixed));
    py::def("same", bound(&same));
    py::def("length_of", bound(&length_of));
    py::def("converted", bound(&converted));
    py::def("five", bound(&five));
    py::def("none", bound(&none));
    // Overloads, fast and plain in every order; and one that hides another by its default value.
    py::def("fast_last", &over_int);
    py::def("fast_last", &over_text);
    py::def("fast_last", bound(&over_double));
    py::def("fast_first", bound(&over_double), "First.");
    py::def("fast_first", &over_text, "Second.");
    py::def("fast_first", &over_thing);
    py::def("between", bound(&over_int));
    py::def("between", bound(&over_two));
    py::def("between", &over_text);
    py::def("between", bound(&over_thing), "Third.");
    py::def("between", &over_double);
    py::def("hidden", bound(&over_long));
    py::def("hidden", bound(&over_two), (py::arg("a"), py::arg("b") = 1));
    py::def("shown", bound(&over_two), (py::arg("a"), py::arg("b") = 1));
    py::def("shown", bound(&over_long));
}

}  // namespace CALLS_MODULE
// NOLINTEND
