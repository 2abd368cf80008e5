// The object that a channel's coroutines use: it takes without waiting, and listens.
#include "event_loop.hpp"
#include "posted_arrival.hpp"
#include <handoff/channel/consumer.hpp>
#include <handoff/gil/detail/made_once.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/once.hpp>

#include <boost/python.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <structmember.h>
#include <utility>

extern char const* const handoff_channel_async;

namespace handoff::detail {

namespace py = boost::python;

namespace {

/// taking() of channel_async.py. The garbage collector sees what it refers to.
struct taking {
    PyObject head;
    PyObject* channel;  // null: it has been cleared
    take_of_channel take;
    Py_ssize_t most;
    std::intptr_t identity;  // of the channel, which may have several Python objects
    std::weak_ptr<channel_end> end;
};

taking& taking_in(PyObject* self) { return *reinterpret_cast<taking*>(self); }

int traverse_taking(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(taking_in(self).channel);
    return 0;
}

int clear_taking(PyObject* self) {
    Py_CLEAR(taking_in(self).channel);
    return 0;
}

void deallocate_taking(PyObject* self) {
    PyTypeObject* const type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_taking(self);
    std::destroy_at(&taking_in(self).end);
    type->tp_free(self);
    Py_DECREF(type);
}

/// taking(nothing): what is in the channel; returns `nothing` if something may arrive later.
PyObject* call_taking(PyObject* self, PyObject* arguments, PyObject* /*keywords*/) {
    PyObject* nothing = nullptr;
    if (!PyArg_ParseTuple(arguments, "O", &nothing)) {
        return nullptr;
    }
    taking const& its = taking_in(self);
    if (its.channel == nullptr) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has cleared this");
        return nullptr;
    }
    // Kept meanwhile, because a conversion may run a collection, which clears this.
    PyObject* const channel = Py_NewRef(its.channel);
    PyObject* const taken = its.take(channel, static_cast<std::size_t>(its.most), nothing);
    Py_DECREF(channel);
    return taken;
}

py::object capsule_of(std::unique_ptr<posted_arrival> arrival) {
    static constexpr auto drop = [](PyObject* capsule) {
        delete static_cast<posted_arrival*>(PyCapsule_GetPointer(capsule, nullptr));
    };
    py::object made{py::handle<>(PyCapsule_New(arrival.get(), nullptr, drop))};
    static_cast<void>(arrival.release());
    return made;
}

/// taking.listen(mailbox): the number that is posted when there may be something, and the object
/// that keeps listening.
PyObject* listen_for_taking(PyObject* self, PyObject* to) {
    PyObject* made = nullptr;
    py::handle_exception([&] {
        rather_hang([&] {
            auto const& end = taking_in(self).end;
            close_at_exit(end);
            auto arrival =
                std::make_unique<posted_arrival>(end, py::extract<std::shared_ptr<mailbox>>(to)());
            auto const number = arrival->number();
            made = py::incref(py::make_tuple(number, capsule_of(std::move(arrival))).ptr());
        });
    });
    return made;
}

PyObject* make_taking_class() {
    static std::array methods{
        PyMethodDef{.ml_name = "listen",
                    .ml_meth = &listen_for_taking,
                    .ml_flags = METH_O,
                    .ml_doc = nullptr},
        PyMethodDef{.ml_name = nullptr, .ml_meth = nullptr, .ml_flags = 0, .ml_doc = nullptr},
    };
    static std::array members{
        PyMemberDef{.name = "most",
                    .type = T_PYSSIZET,
                    .offset = offsetof(taking, most),
                    .flags = READONLY,
                    .doc = nullptr},
        PyMemberDef{.name = "channel",
                    .type = T_PYSSIZET,
                    .offset = offsetof(taking, identity),
                    .flags = READONLY,
                    .doc = nullptr},
        PyMemberDef{.name = nullptr, .type = 0, .offset = 0, .flags = 0, .doc = nullptr},
    };
    static_assert(sizeof(Py_ssize_t) == sizeof(void*));
    std::array slots{
        PyType_Slot{.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&deallocate_taking)},
        PyType_Slot{.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&traverse_taking)},
        PyType_Slot{.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&clear_taking)},
        PyType_Slot{.slot = Py_tp_call, .pfunc = reinterpret_cast<void*>(&call_taking)},
        PyType_Slot{.slot = Py_tp_methods, .pfunc = methods.data()},
        PyType_Slot{.slot = Py_tp_members, .pfunc = members.data()},
        PyType_Slot{.slot = 0, .pfunc = nullptr},
    };
    PyType_Spec spec{
        .name = "handoff.Taking",
        .basicsize = sizeof(taking),
        .itemsize = 0,
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots.data()};
    return PyType_FromSpec(&spec);
}

/// The globals of channel_async.py, which has run.
py::object run() {
    py::dict globals;
    globals["__name__"] = "handoff.channel";
    globals["wait"] = from_event_loop("wait");
    py::object const builtins = py::import("builtins");
    builtins.attr("exec")(builtins.attr("compile")(handoff_channel_async, "<channel>", "exec"),
                          globals);
    return globals;
}

py::object new_taking(py::object const& channel, std::weak_ptr<channel_end> const& end,
                      take_of_channel take, std::size_t most) {
    auto* const type =
        reinterpret_cast<PyTypeObject*>(py::expect_non_null(made_once<&make_taking_class>()));
    py::handle<> const made(type->tp_alloc(type, 0));
    taking& its = taking_in(made.get());
    std::construct_at(&its.end, end);
    its.channel = Py_NewRef(channel.ptr());
    its.take = take;
    its.most = static_cast<Py_ssize_t>(most);
    its.identity = reinterpret_cast<std::intptr_t>(end.lock().get());
    return py::object(made);
}

}  // namespace

py::object for_coroutines(async_method const& method, py::object const& channel,
                          std::weak_ptr<channel_end> const& end, take_of_channel take,
                          std::size_t most) {
    static constinit gil_once<py::object> globals;
    return globals.get(run)[method.is_iteration ? "iterate" : "get"](
        method.name, method.blocking, new_taking(channel, end, take, most));
}

}  // namespace handoff::detail
