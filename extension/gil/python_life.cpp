// watched_python_life(): a capsule in the interpreter's dict, destroyed with the interpreter.
#include <handoff/gil/detail/python_life.hpp>
#include <handoff/gil/detail/reference.hpp>

#include <new>

namespace handoff::detail {

unsigned long watched_python_life() {
    unsigned long const life = python_life();
    PyInterpreterState* const here = PyInterpreterState_Get();
    if (lives.watched == life || here != PyInterpreterState_Main()) {
        return life;
    }
    // Counted once, even if two threads come at the same time: one of their capsules goes at once.
    static constexpr auto count = [](PyObject* end) {
        if (PyCapsule_GetContext(end) != nullptr) {
            ++lives.ended;
        }
    };
    PyObject* const kept = PyInterpreterState_GetDict(here);  // borrowed
    reference const copy(PyLong_FromVoidPtr(&lives));         // of these variables
    reference const end(PyCapsule_New(&lives, nullptr, count));
    PyObject* const the_one = kept != nullptr && copy != nullptr && end != nullptr
                                  ? PyDict_SetDefault(kept, copy.get(), end.get())  // borrowed
                                  : nullptr;
    if (the_one == nullptr || PyCapsule_SetContext(the_one, &lives) != 0) {
        PyErr_Clear();
        throw std::bad_alloc();
    }
    lives.watched = life;
    return life;
}

}  // namespace handoff::detail
