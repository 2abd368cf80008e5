// raw_state: a native thread's state, as a careful user of the C API keeps it.
#pragma once

#include <handoff/gil/python.hpp>

class raw_state {
public:
    raw_state() : state_(PyThreadState_New(PyInterpreterState_Main())) {}
    ~raw_state() {
        PyEval_RestoreThread(state_);
        PyThreadState_Clear(state_);
        PyThreadState_DeleteCurrent();
    }
    raw_state(raw_state const&) = delete;
    raw_state& operator=(raw_state const&) = delete;

    [[nodiscard]] PyThreadState* get() const { return state_; }

private:
    PyThreadState* state_;
};
