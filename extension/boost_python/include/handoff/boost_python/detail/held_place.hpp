// held_place<T>: where the T of a Boost.Python instance is, remembered for each type of holder.
#pragma once

#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/python.hpp>

#include <boost/python/instance_holder.hpp>
#include <boost/python/object/instance.hpp>
#include <boost/python/object/pointer_holder.hpp>
#include <boost/python/type_id.hpp>

#include <boost/shared_ptr.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <typeinfo>

namespace handoff::detail {

/// The type of Boost.Python's classes. Set when the first fast function is defined.
inline PyTypeObject* class_metatype = nullptr;

/// Whether a holder contains its object. Then the object is always at the same distance from the
/// holder. So is a base of it, because the whole object's type is that of the holder.
[[nodiscard]] inline bool holds_by_value(std::type_info const& holder) {
    std::string_view name = holder.name();
    // NOLINTNEXTLINE(readability-identifier-length)
    constexpr std::string_view ours = "N7handoff6detail15released_holderI";
    if (name.starts_with(ours)) {
        name.remove_prefix(ours.size());
    }
    return name.starts_with("N5boost6python7objects12value_holderI");
}

/// Where an object is, as seen from a holder of one type.
struct place_in_holder {
    std::ptrdiff_t distance = 0;
    bool is_pointer = false;

    [[nodiscard]] void* object(boost::python::instance_holder* of) const {
        void* const place = reinterpret_cast<std::byte*>(of) + distance;
        return is_pointer ? *static_cast<void**>(place) : place;
    }
};

/// Finds what boost::python::converter::get_lvalue_from_python() finds, or nothing.
///
/// The holder's own holds() is asked once per type of holder where T is. The answer is remembered
/// only for holders by value, and for holders by a pointer to T itself if the pointer is where it
/// is expected. All other holders are left to Boost.Python.
///
/// GIL:    held. It guards what is remembered; without one an exclusion does.
/// Source: find_instance_impl() in Boost.Python's object/class.cpp; object/value_holder.hpp;
///         object/pointer_holder.hpp. Boost 1.74 to 1.92.
template <class T>
class held_place {
public:
    [[nodiscard]] static T* find(PyObject* source) {
        if (Py_TYPE(Py_TYPE(source)) != class_metatype) {
            return nullptr;
        }
        auto* const holder = reinterpret_cast<boost::python::objects::instance<>*>(source)->objects;
        if (holder == nullptr) {
            return nullptr;
        }
        boost::python::instance_holder& first = *holder;
        std::type_info const* const type = &typeid(first);
        if (known.front().of.load(std::memory_order_acquire) == type) {
            return static_cast<T*>(known.front().place.object(holder));
        }
        return static_cast<T*>(search(holder, *type));
    }

private:
    [[gnu::noinline]] static void* search(boost::python::instance_holder* holder,
                                          std::type_info const& type) {
        for (known_place const& each : known) {
            if (each.of.load(std::memory_order_acquire) == &type) {
                return each.place.object(holder);
            }
        }
        return learn(holder, type);
    }

    static void* learn(boost::python::instance_holder* holder, std::type_info const& type) {
        void* const found = holder->holds(boost::python::type_id<T>(), false);
        if (found == nullptr) {
            return nullptr;
        }
        place_in_holder learnt;
        if (holds_by_value(type)) {
            learnt.distance = static_cast<std::byte*>(found) - reinterpret_cast<std::byte*>(holder);
        } else if (holds_by_pointer(type)) {
            learnt.distance = sizeof(boost::python::instance_holder);
            learnt.is_pointer = true;
        } else {
            return found;
        }
        if (learnt.object(holder) == found) {
            remember(type, learnt);
        }
        return found;
    }

    /// In place of the one that was learnt first, unless others may read that just now.
    static void remember(std::type_info const& type, place_in_holder const& learnt) {
        std::scoped_lock const alone(exclusion);
        if (attached_threads_exclude_each_other || next < known.size()) {
            known_place& room = known[next++ % known.size()];
            room.place = learnt;
            room.of.store(&type, std::memory_order_release);
        }
    }

    static bool holds_by_pointer(std::type_info const& holder) {
        using boost::python::objects::pointer_holder;
        return holder == typeid(pointer_holder<std::shared_ptr<T>, T>) ||
               holder == typeid(pointer_holder<boost::shared_ptr<T>, T>) ||
               holder == typeid(pointer_holder<std::unique_ptr<T>, T>) ||
               holder == typeid(pointer_holder<T*, T>);
    }

    /// Where T is in holders of one type.
    struct known_place {
        std::atomic<std::type_info const*> of = nullptr;
        place_in_holder place;
    };

    static inline constinit gil_exclusion exclusion;
    static inline std::array<known_place, 4> known{};
    static inline std::size_t next = 0;
};

}  // namespace handoff::detail
