// What Python's garbage collector sees of a channel: its attributes, and the iterators over it.
#include <handoff/boost_python/detail/instance.hpp>
#include <handoff/channel/consumer.hpp>
#include <handoff/gil/detail/made_once.hpp>

#include <array>

namespace handoff::detail {

namespace py = boost::python;

namespace {

int traverse_channel(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(attributes_of(self));
    return 0;
}

int clear_channel(PyObject* self) {
    Py_CLEAR(attributes_of(self));
    return 0;
}

struct iterator {
    PyObject head;
    PyObject* channel;  // null: it has been cleared
    next_of_channel next;
    std::size_t max;
};

iterator& iterator_in(PyObject* self) { return *reinterpret_cast<iterator*>(self); }

int traverse_iterator(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(iterator_in(self).channel);
    return 0;
}

int clear_iterator(PyObject* self) {
    Py_CLEAR(iterator_in(self).channel);
    return 0;
}

void deallocate_iterator(PyObject* self) {
    PyTypeObject* const type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_iterator(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* next_of_iterator(PyObject* self) {
    iterator const& its = iterator_in(self);
    if (its.channel == nullptr) {
        return nullptr;
    }
    // Kept while it waits, because a collection may clear the iterator meanwhile.
    PyObject* const channel = Py_NewRef(its.channel);
    PyObject* const batch = its.next(channel, its.max);
    Py_DECREF(channel);
    return batch;
}

PyObject* make_iterator_class() {
    static char const doc[] = "Waits for a batch of a channel's values at each step.";
    std::array slots{
        PyType_Slot{.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&deallocate_iterator)},
        PyType_Slot{.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&traverse_iterator)},
        PyType_Slot{.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&clear_iterator)},
        PyType_Slot{.slot = Py_tp_iter, .pfunc = reinterpret_cast<void*>(&PyObject_SelfIter)},
        PyType_Slot{.slot = Py_tp_iternext, .pfunc = reinterpret_cast<void*>(&next_of_iterator)},
        PyType_Slot{.slot = Py_tp_doc, .pfunc = const_cast<char*>(doc)},
        PyType_Slot{.slot = 0, .pfunc = nullptr},
    };
    PyType_Spec spec{
        .name = "handoff.Batches",
        .basicsize = sizeof(iterator),
        .itemsize = 0,
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots.data()};
    return PyType_FromSpec(&spec);
}

}  // namespace

void make_collectable(PyTypeObject& channel_class) {
    channel_class.tp_traverse = &traverse_channel;
    channel_class.tp_clear = &clear_channel;
    protect_attributes(channel_class);
}

py::object iterator_over(py::object const& channel, next_of_channel next, std::size_t max) {
    auto* const type =
        reinterpret_cast<PyTypeObject*>(py::expect_non_null(made_once<&make_iterator_class>()));
    py::handle<> const made(type->tp_alloc(type, 0));
    iterator_in(made.get()).channel = Py_NewRef(channel.ptr());
    iterator_in(made.get()).next = next;
    iterator_in(made.get()).max = max;
    return py::object(made);
}

}  // namespace handoff::detail
