// held_place: where it finds an object, what it remembers, and what it asks Boost.Python each time.
#include "embedded_python.hpp"
#include <handoff/boost_python/detail/held_place.hpp>
#include <handoff/boost_python/init_without_gil.hpp>

#include <boost/python.hpp>

#include <cstddef>
#include <memory>
#include <new>

namespace {

/// Held by a holder of a layout of its own, below.
struct thing {
    int value = 0;
};
struct oddly_held {
    int value = 0;
};
int asked = 0;

}  // namespace

/// As a Boost.Python would have it that keeps the pointer in another place.
template <>
struct boost::python::objects::pointer_holder<oddly_held*, oddly_held>
    : boost::python::instance_holder {
    explicit pointer_holder(oddly_held* object) : to(object) {}
    void* holds(boost::python::type_info /*type*/, bool /*null_pointer_only*/) override {
        ++asked;
        return to;
    }
    oddly_held* other = nullptr;
    oddly_held* to;
};

namespace {

namespace py = boost::python;
using handoff::detail::held_place;
using handoff::detail::holds_by_value;

/// A holder of somebody's own, whose objects are anywhere.
struct own_holder : py::instance_holder {
    explicit own_holder(thing* object) : to(object) {}
    void* holds(py::type_info type, bool /*null_pointer_only*/) override {
        ++asked;
        return type == py::type_id<thing>() ? to : nullptr;
    }
    thing* to;
};

template <class T>
py::object class_of() {
    static py::object const known = [] {
        handoff::detail::class_metatype = py::objects::class_metatype().get();
        py::scope const nowhere{py::object()};
        return py::class_<T>("held", py::no_init);
    }();
    return known;
}

/// An instance of the class for T with such a holder, in the memory that Boost.Python gives back.
template <class T, class Holder, class Held>
py::object instance_with(Held const& held) {
    py::object made = class_of<T>().attr("__new__")(class_of<T>());
    void* const place =
        Holder::allocate(made.ptr(), offsetof(py::objects::instance<>, storage), sizeof(Holder));
    (new (place) Holder(held))->install(made.ptr());
    return made;
}

TEST(HeldPlace, KnowsTheHoldersThatHaveTheirObjectInside) {
    using namespace py::objects;
    using handoff::detail::released_holder;
    EXPECT_TRUE(holds_by_value(typeid(value_holder<thing>)));
    EXPECT_TRUE(holds_by_value(typeid(released_holder<value_holder<thing>>)));
    EXPECT_FALSE(holds_by_value(typeid(pointer_holder<std::shared_ptr<thing>, thing>)));
    EXPECT_FALSE(
        holds_by_value(typeid(released_holder<pointer_holder<std::shared_ptr<thing>, thing>>)));
    EXPECT_FALSE(holds_by_value(typeid(own_holder)));
}

/// That it finds each of several objects, and asks such a holder at every find().
template <class T, class Holder>
void expect_that_it_asks_each_time() {
    embedded_python::python().invoke([] {
        T one;
        T other;
        asked = 0;
        for (T* const each : {&one, &other, &one}) {
            auto const made = instance_with<T, Holder>(each);
            EXPECT_EQ(held_place<T>::find(made.ptr()), each);
            EXPECT_EQ(held_place<T>::find(made.ptr()), each);
        }
        EXPECT_EQ(asked, 6);
    });
}

TEST(HeldPlace, AsksAHolderOfAnotherTypeEachTime) {
    expect_that_it_asks_each_time<thing, own_holder>();
}

TEST(HeldPlace, AsksEachTimeWhereAPointerIsNotWhereItIsExpected) {
    expect_that_it_asks_each_time<oddly_held,
                                  py::objects::pointer_holder<oddly_held*, oddly_held>>();
}

TEST(HeldPlace, RemembersWhereAPointerIs) {
    struct pointed {
        int value = 0;
    };
    using holder = py::objects::pointer_holder<std::shared_ptr<pointed>, pointed>;
    embedded_python::python().invoke([] {
        for (int time = 0; time < 3; ++time) {
            auto const object = std::make_shared<pointed>();
            auto const made = instance_with<pointed, holder>(object);
            EXPECT_EQ(held_place<pointed>::find(made.ptr()), object.get());
        }
        EXPECT_EQ(held_place<pointed>::find(py::object(1).ptr()), nullptr);
        auto const empty = class_of<pointed>().attr("__new__")(class_of<pointed>());
        EXPECT_EQ(held_place<pointed>::find(empty.ptr()), nullptr);
    });
}

}  // namespace
