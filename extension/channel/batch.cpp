// The Python object that shows a batch's memory, and the description of its layout for Python.
#include <handoff/channel/batch.hpp>
#include <handoff/gil/detail/made_once.hpp>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <utility>

namespace handoff::detail {

record_layout::record_layout(element number)
    : size_(number.size), buffer_format_(1, number.code), struct_format_("=") {
    struct_format_ += number.code;
}

void record_layout::add(std::string name, element kind, std::size_t offset) {
    field added{.name = std::move(name), .kind = kind, .offset = offset};
    fields_.insert(std::ranges::upper_bound(fields_, offset, {}, &field::offset), std::move(added));

    // Standard sizes, with the gaps between the fields written out, so that no reader aligns again.
    std::string for_buffer("T{=");
    std::string for_struct("=");
    std::size_t end = 0;
    auto const pad_to = [&](std::size_t next) {
        if (next > end) {
            std::string const gap = std::to_string(next - end) + 'x';
            for_buffer += gap;
            for_struct += gap;
        }
    };
    for (field const& each : fields_) {
        pad_to(each.offset);
        if (each.kind.count > 0) {
            std::string const count = std::to_string(each.kind.count);
            for_buffer += '(' + count + ')';
            for_struct += count;
        }
        for_buffer += each.kind.code;
        for_buffer += ':' + each.name + ':';
        for_struct += each.kind.code;
        end = each.offset + each.kind.size * std::max<std::size_t>(each.kind.count, 1);
    }
    pad_to(size_);
    buffer_format_ = for_buffer + '}';
    struct_format_ = for_struct;
}

std::vector<std::string> record_layout::names() const {
    std::vector<std::string> names;
    std::ranges::transform(fields_, std::back_inserter(names), &field::name);
    return names;
}

namespace {

struct batch {
    PyObject head;
    std::shared_ptr<void> owner;
    void* values;
    Py_ssize_t count;
    Py_ssize_t size;
    record_layout const* layout;
};

batch& batch_in(PyObject* self) { return *reinterpret_cast<batch*>(self); }

void deallocate(PyObject* self) {
    PyTypeObject* const type = Py_TYPE(self);
    std::destroy_at(&batch_in(self).owner);
    type->tp_free(self);
    Py_DECREF(type);
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
    batch& its = batch_in(self);
    auto const asks = [flags](unsigned what) {
        return (static_cast<unsigned>(flags) & what) == what;
    };
    *view = {.buf = its.values,
             .obj = Py_NewRef(self),
             .len = its.count * its.size,
             .itemsize = its.size,
             .readonly = 0,
             .ndim = 1,
             .format = asks(PyBUF_FORMAT) ? const_cast<char*>(its.layout->buffer_format().c_str())
                                          : nullptr,
             .shape = asks(PyBUF_ND) ? &its.count : nullptr,
             .strides = asks(PyBUF_STRIDES) ? &its.size : nullptr,
             .suboffsets = nullptr,
             .internal = nullptr};
    return 0;
}

Py_ssize_t length(PyObject* self) { return batch_in(self).count; }

PyObject* format(PyObject* self, void*) {
    return PyUnicode_FromString(batch_in(self).layout->struct_format().c_str());
}

PyObject* names(PyObject* self, void*) {
    // A list, because a tuple exists before all its items do, and Python would see it incomplete.
    PyObject* const list = PyList_New(0);
    for (std::string const& each : batch_in(self).layout->names()) {
        PyObject* const name = list != nullptr ? PyUnicode_FromString(each.c_str()) : nullptr;
        bool const added = name != nullptr && PyList_Append(list, name) == 0;
        Py_XDECREF(name);
        if (!added) {
            Py_XDECREF(list);
            return nullptr;
        }
    }
    PyObject* const tuple = list != nullptr ? PyList_AsTuple(list) : nullptr;
    Py_XDECREF(list);
    return tuple;
}

PyObject* represent(PyObject* self) {
    batch const& its = batch_in(self);
    return PyUnicode_FromFormat("<handoff.Batch of %zd values of %zd bytes, format %s>", its.count,
                                its.size, its.layout->buffer_format().c_str());
}

/// A new reference, or null with an error set.
PyObject* make_batch_class() {
    static std::array attributes{
        PyGetSetDef{.name = "format",
                    .get = &format,
                    .set = nullptr,
                    .doc = "What struct.iter_unpack() takes to read the values.",
                    .closure = nullptr},
        PyGetSetDef{.name = "names",
                    .get = &names,
                    .set = nullptr,
                    .doc = "The names of the fields; () if a value is one number.",
                    .closure = nullptr},
        PyGetSetDef{},
    };
    static char const doc[] =
        "Values that a channel delivered, as they lie in memory.\n\n"
        "numpy.asarray(batch) is an array of them without a copy; memoryview(batch) and\n"
        "struct.iter_unpack(batch.format, batch) read them where there is no numpy.";
    std::array slots{
        PyType_Slot{.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&deallocate)},
        PyType_Slot{.slot = Py_tp_repr, .pfunc = reinterpret_cast<void*>(&represent)},
        PyType_Slot{.slot = Py_tp_getset, .pfunc = attributes.data()},
        PyType_Slot{.slot = Py_tp_doc, .pfunc = const_cast<char*>(doc)},
        PyType_Slot{.slot = Py_sq_length, .pfunc = reinterpret_cast<void*>(&length)},
        PyType_Slot{.slot = Py_bf_getbuffer, .pfunc = reinterpret_cast<void*>(&get_buffer)},
        PyType_Slot{.slot = 0, .pfunc = nullptr},
    };
    PyType_Spec spec{.name = "handoff.Batch",
                     .basicsize = sizeof(batch),
                     .itemsize = 0,
                     .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                     .slots = slots.data()};
    return PyType_FromSpec(&spec);
}

}  // namespace

PyObject* new_batch(record_layout const& layout) noexcept {
    auto* const type = reinterpret_cast<PyTypeObject*>(made_once<&make_batch_class>());
    PyObject* const made = type != nullptr ? type->tp_alloc(type, 0) : nullptr;
    if (made != nullptr) {
        batch& its = batch_in(made);
        std::construct_at(&its.owner);
        its.size = static_cast<Py_ssize_t>(layout.size());
        its.layout = &layout;
    }
    return made;
}

void fill_batch(PyObject* filled, std::shared_ptr<void> owner, void* values,
                std::size_t count) noexcept {
    batch& its = batch_in(filled);
    its.owner = std::move(owner);
    its.values = values;
    its.count = static_cast<Py_ssize_t>(count);
}

}  // namespace handoff::detail
