// channel_class: the Python class of a channel, in one line of a Boost.Python module.
#pragma once

#include <handoff/boost_python/detail/instance.hpp>
#include <handoff/boost_python/fast.hpp>
#include <handoff/channel.hpp>
#include <handoff/channel/batch.hpp>
#include <handoff/channel/consumer.hpp>
#include <handoff/gil/detail/unwinding.hpp>

#include <boost/python.hpp>
#include <boost/python/raw_function.hpp>

#include <boost/mpl/vector.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace handoff {

/// Registers channel<T> with Python. It is a boost::python::class_, to which more can be added.
///
///     channel_class<sample>("Samples")                // the complete Python class
///         .field("time", &sample::time)               // for get_batch(): read in place by numpy
///         .field("value", &sample::value);
///     class_<sensor, boost::noncopyable>("Sensor")
///         .add_property("samples", &sensor::samples); // a std::shared_ptr<channel<sample>>
///
/// T's to-python converter makes Python's values. Batches of a trivially copyable T are read in
/// place, and need no converter. A function that takes a channel from Python takes a `channel<T>&`
/// and makes a producer<T> of it. A std::shared_ptr would own the Python object, and might drop it
/// on a thread without the GIL.
///
/// If Python has taken from a channel, an `atexit` function closes it when Python ends.
///
/// GIL:      held.
/// Throws:   boost::python::error_already_set.
/// REQUIRES: T is not a Python object and owns none: it may be destroyed without the GIL.
template <class T>
class channel_class
    : public boost::python::class_<channel<T>, std::shared_ptr<channel<T>>, boost::noncopyable> {
public:
    explicit channel_class(char const* name, char const* doc = nullptr);

    /// Describes a field for get_batch(): a number, a bool, an enumeration, or an array of these.
    /// REQUIRES: before the first get_batch().
    template <class Field, class Struct>
    channel_class& field(char const* name, Field Struct::* member);
};

namespace detail {

/// GIL: held.
template <class T>
record_layout& layout_of() {
    static constinit std::atomic<record_layout*> only = nullptr;
    record_layout* found = only.load(std::memory_order_acquire);
    if (found == nullptr) {
        auto made = [] {
            if constexpr (is_plain<T>) {
                return std::make_unique<record_layout>(element_of<T>());
            } else {
                return std::make_unique<record_layout>(sizeof(T));
            }
        }();
        if (only.compare_exchange_strong(found, made.get())) {
            found = made.release();
        }
    }
    return *found;
}

/// What Python's methods of a channel<T> do.
template <class T>
struct channel_methods {
    using object = boost::python::object;
    using samples = channel<T>;

    static std::shared_ptr<samples> make(object const& capacity, object const& policy) {
        return rather_hang([&] {
            auto made = std::make_shared<samples>(capacity_from(capacity), policy_from(policy));
            close_at_exit(made->end());
            return made;
        });
    }

    static object get(samples& self, object const& timeout) {
        return rather_hang([&] {
            require_converter();
            std::optional<loan<T>> taken;
            if (!next(taken, self, 1, timeout_from(timeout))) {
                raise_shut_down();
            }
            return only_of(*taken);
        });
    }

    static object next_item(samples& self) {
        return rather_hang([&] {
            require_converter();
            std::optional<loan<T>> taken;
            if (!next(taken, self, 1, std::nullopt)) {
                boost::python::objects::stop_iteration_error();
            }
            return only_of(*taken);
        });
    }

    static object get_many(samples& self, object const& max, object const& timeout) {
        return rather_hang([&] {
            require_converter();
            std::optional<loan<T>> taken;
            if (!next(taken, self, max_from(max), timeout_from(timeout))) {
                raise_shut_down();
            }
            return all_of(*taken);
        });
    }

    static object get_batch(samples& self, object const& max, object const& timeout) {
        return rather_hang([&] {
            require_layout();
            std::optional<loan<T>> taken;
            if (!next(taken, self, max_from(max), timeout_from(timeout))) {
                raise_shut_down();
            }
            return only_batch_of(*taken);
        });
    }

    static object batches(object const& self, object const& max) {
        return rather_hang([&] {
            require_layout();
            return iterator_over(self, &next_batch, max_from(max));
        });
    }

    static object get_async(object const& self) {
        return rather_hang([&] {
            require_converter();
            return coroutine<&only_of, &raise_shut_down>({"get_async()", "get()", false}, self, 1);
        });
    }

    static object get_many_async(object const& self, object const& max) {
        return rather_hang([&] {
            require_converter();
            return coroutine<&all_of, &raise_shut_down>({"get_many_async()", "get_many()", false},
                                                        self, max_from(max));
        });
    }

    static object get_batch_async(object const& self, object const& max) {
        return rather_hang([&] {
            require_layout();
            return coroutine<&only_batch_of, &raise_shut_down>(
                {"get_batch_async()", "get_batch()", false}, self, max_from(max));
        });
    }

    static object iterate_async(object const& self) {
        return rather_hang([&] {
            require_converter();
            return coroutine<&only_of, &raise_stop_async_iteration>(
                {"`async for` of a channel", "`for`", true}, self, 1);
        });
    }

    static object batches_async(object const& self, object const& max) {
        return rather_hang([&] {
            require_layout();
            return coroutine<&only_batch_of, &raise_stop_async_iteration>(
                {"batches_async()", "batches()", true}, self, max_from(max));
        });
    }

    static void close(samples& self) { self.close(); }
    static object self(object const& channel) { return channel; }
    static void exit(samples& self, object const&, object const&, object const&) { self.close(); }
    static std::size_t size(samples const& self) { return self.size(); }
    static object counts(samples const& self) { return dict_of(self.counts()); }
    static char const* policy(samples const& self) { return name_of(self.policy()); }

    static object represent(object const& self) {
        return rather_hang([&]() -> object {
            boost::python::extract<samples const&> const found(self);
            samples const& its = found();
            return representation(self, its.counts().size, its.capacity(), its.policy(),
                                  its.closed());
        });
    }

private:
    using by_value = boost::python::to_python_value<T const&>;

    /// For batches().
    static PyObject* next_batch(PyObject* channel, std::size_t max) noexcept {
        PyObject* batch = nullptr;
        boost::python::handle_exception([&] {
            rather_hang([&] {
                samples& self = boost::python::extract<samples&>(channel)();
                std::optional<loan<T>> taken;
                batch = next(taken, self, max, std::nullopt) ? batch_of(*taken) : nullptr;
            });
        });
        return batch;
    }

    template <object (*Make)(loan<T>&), void (*AtTheEnd)()>
    static object coroutine(async_method const& method, object const& self, std::size_t at_most) {
        auto const end = boost::python::extract<samples const&>(self)().end();
        return for_coroutines(method, self, end, &take_now<Make, AtTheEnd>, at_most);
    }

    template <object (*Make)(loan<T>&), void (*AtTheEnd)()>
    static PyObject* take_now(PyObject* channel, std::size_t at_most, PyObject* nothing) noexcept {
        PyObject* made = nullptr;
        boost::python::handle_exception([&] {
            rather_hang([&] {
                samples& self = boost::python::extract<samples&>(channel)();
                loan<T> taken(self, at_most);
                if (!taken.empty()) {
                    made = boost::python::incref(Make(taken).ptr());
                } else if (may_come(self)) {
                    made = Py_NewRef(nothing);
                } else {
                    AtTheEnd();
                }
            });
        });
        return made;
    }

    /// Whether there may be something to take later; false: the channel has ended, without an
    /// error.
    static bool may_come(samples& self) {
        if (self.ended()) {
            raise_if(self.error());
            return false;
        }
        if (self.closed() && self.lends_to_caller()) {
            raise_waits_for_itself();
        }
        return true;
    }

    /// Borrows what there is; waits for the first value. Returns: false: the channel has ended,
    /// without an error.
    static bool next(std::optional<loan<T>>& taken, samples& self, std::size_t at_most,
                     std::optional<std::chrono::nanoseconds> timeout) {
        waiting consumer(timeout);
        for (;;) {
            taken.emplace(self, at_most);
            if (!taken->empty()) {
                return true;
            }
            if (!may_come(self)) {
                return false;
            }
            close_at_exit(self.end());
            consumer.wait([&](auto deadline) { return await_batch(self, at_most, deadline); });
        }
    }

    /// A consumer that waited for a first value, and wants many, lets them gather for a moment. So
    /// a fast producer wakes it once for thousands, not once for each few.
    static bool await_batch(samples& self, std::size_t at_most,
                            std::chrono::steady_clock::time_point deadline) {
        static constexpr std::chrono::microseconds gathering{100};
        std::size_t const many = std::min(at_most, self.capacity() / 2);
        bool const there = self.wait_until(deadline);
        if (there && many > 1) {
            self.wait_until(std::min(deadline, samples::clock::now() + gathering), many);
        }
        return there;
    }

    static void require_converter() {
        if constexpr (by_value::uses_registry) {
            if (boost::python::converter::registered<T>::converters.m_to_python == nullptr) {
                raise_no_converter(typeid(T));
            }
        }
    }

    static void require_layout() {
        if (!layout_of<T>().described()) {
            raise_no_layout(typeid(T));
        }
    }

    static object only_of(loan<T>& taken) {
        PyObject* made = nullptr;
        try {
            made = by_value()(taken.values().front());
        } catch (...) {
            boost::python::handle_exception();
        }
        taken.keep(made != nullptr || is_of_value() ? 1 : 0);
        return object(boost::python::handle<>(made));
    }

    /// The values before the first that cannot be converted. That one and the others go back, so it
    /// is the first of the next list, which raises its error.
    static object all_of(loan<T>& taken) {
        auto const values = taken.values();
        list_items items(values.size());
        try {
            for (T const& each : values) {
                PyObject* const item = by_value()(each);
                if (item == nullptr) {
                    break;
                }
                items.add(item);
            }
        } catch (...) {
            boost::python::handle_exception();
        }
        if (items.size() < values.size()) {
            bool const of_value = is_of_value();
            if (!of_value || items.size() == 0) {
                taken.keep(of_value ? 1 : 0);
                throw boost::python::error_already_set();
            }
            PyErr_Clear();
        }
        std::size_t const used = items.size();
        object const list = items.list();
        taken.keep(used);
        return list;
    }

    static object only_batch_of(loan<T>& taken) {
        return object(boost::python::handle<>(batch_of(taken)));
    }

    /// A new reference. Throws: error_already_set, std::bad_alloc; the values go back then.
    static PyObject* batch_of(loan<T>& taken) {
        auto const owner = std::make_shared<std::vector<T>>();
        boost::python::handle<> made(new_batch(layout_of<T>()));
        *owner = taken.keep_all();
        fill_batch(made.get(), owner, owner->data(), owner->size());
        return made.release();
    }
};

}  // namespace detail

template <class T>
channel_class<T>::channel_class(char const* name, char const* doc)
    : boost::python::class_<channel<T>, std::shared_ptr<channel<T>>, boost::noncopyable>(
          name, doc, boost::python::no_init) {
    namespace py = boost::python;
    static_assert(
        !py::converter::is_object_manager<T>::value && !std::is_pointer_v<T>,
        "a channel's values are destroyed without the GIL: they cannot be Python objects");
    using methods = detail::channel_methods<T>;
    py::docstring_options const ours_only(true, false, false);
    py::object const none;

    py::object const init =
        py::make_constructor(&methods::make, py::default_call_policies(),
                             (py::arg("capacity"), py::arg("when_full") = "block"));
    this->def("__init__", py::raw_function(
                              [init](py::tuple const& arguments, py::dict const& keywords) {
                                  detail::rather_hang(
                                      [&] { detail::refuse_unless_new<channel<T>>(arguments[0]); });
                                  return py::object(py::handle<>(
                                      PyObject_Call(init.ptr(), arguments.ptr(), keywords.ptr())));
                              },
                              1))
        .def("get", fast(&methods::get), (py::arg("timeout") = none),
             "get(timeout=None) -> value\n\n"
             "The oldest value; waits for one. queue.Empty after `timeout` seconds; ShutDown when\n"
             "the channel is closed and empty, or the error that it was closed with.")
        .def("get_many", fast(&methods::get_many), (py::arg("max"), py::arg("timeout") = none),
             "get_many(max, timeout=None) -> list\n\n"
             "The oldest values, at most `max`, at least one, for which it waits as get() does.\n"
             "Where one cannot be converted, those before it come first, then its error, then\n"
             "the rest.")
        .def("get_async", &methods::get_async,
             "get_async() -> coroutine\n\n"
             "As `await channel.get_async()`, get() in asyncio: other tasks go on. A value is "
             "taken\n"
             "as the coroutine goes on: one that is cancelled takes none. Who waits in one event\n"
             "loop is served in the order of the waits; for a timeout use asyncio.timeout().")
        .def("get_many_async", &methods::get_many_async, py::arg("max"),
             "get_many_async(max) -> coroutine\n\nget_many() in asyncio, as get_async() is get().")
        .def("__iter__", &methods::self)
        .def("__aiter__", &methods::iterate_async)
        .def("__next__", fast(&methods::next_item))
        .def("close", &methods::close,
             "close() -> None\n\nTake nothing in any more. What is there can still be got.")
        .def("__enter__", &methods::self)
        .def("__exit__", &methods::exit)
        .def("__len__", fast(&methods::size))
        .def("__repr__", &methods::represent)
        .add_property("closed", &channel<T>::closed, "Whether nothing is taken in any more.")
        .add_property("capacity", &channel<T>::capacity, "How many values can wait.")
        .add_property("when_full", &methods::policy,
                      "What a push does when there is no room: block, drop_oldest or refuse.")
        .add_property(
            "counts", &methods::counts,
            "How many values were pushed, delivered, dropped and refused so far: a dict.");
    if constexpr (std::is_trivially_copyable_v<T>) {
        this->def("get_batch", fast(&methods::get_batch),
                  (py::arg("max"), py::arg("timeout") = none),
                  "get_batch(max, timeout=None) -> Batch\n\n"
                  "As get_many(), but the values stay as they are in memory, for\n"
                  "numpy.asarray(batch) or memoryview(batch), neither of which copies them.")
            .def("batches", &methods::batches, (py::arg("max") = 65536),
                 "batches(max=65536) -> iterator\n\n"
                 "A get_batch(max) at each step, until the channel is closed and empty.")
            .def("get_batch_async", &methods::get_batch_async, py::arg("max"),
                 "get_batch_async(max) -> coroutine\n\n"
                 "get_batch() in asyncio, as get_async() is get().")
            .def("batches_async", &methods::batches_async, (py::arg("max") = 65536),
                 "batches_async(max=65536) -> asynchronous iterator\n\n"
                 "As `async for batch in channel.batches_async()`, batches() in asyncio.");
    }
    detail::make_collectable(*reinterpret_cast<PyTypeObject*>(this->ptr()));
    this->attr("Empty") = detail::empty_class();
    this->attr("ShutDown") = detail::shut_down_class();
}

template <class T>
template <class Field, class Struct>
channel_class<T>& channel_class<T>::field(char const* name, Field Struct::* member) {
    static_assert(std::is_base_of_v<Struct, T>, "the field is none of the channel's values");
    static_assert(std::is_trivially_copyable_v<T>, "only such values are read in place");
    alignas(T) static std::byte const place[sizeof(T)]{};
    auto const* const at = reinterpret_cast<std::byte const*>(
        std::addressof(reinterpret_cast<T const*>(place)->*member));
    detail::layout_of<T>().add(name, detail::element_of<Field>(),
                               static_cast<std::size_t>(at - place));
    return *this;
}

}  // namespace handoff
