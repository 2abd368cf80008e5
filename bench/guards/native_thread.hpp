// on_a_native_thread(): each benchmark has a thread of its own, which Python has never met.
#pragma once

#include <thread>

/// GIL: not held, as the thread may take it.
template <class Loop>
void on_a_native_thread(Loop const& loop) {
    std::thread(loop).join();
}
