// assertion: in a debug build, a rule of the GIL's that is broken ends the process, in words.
#pragma once

#ifndef NDEBUG
#include <handoff/gil/stack.hpp>

#include <cstdio>
#include <pthread.h>
#include <unistd.h>
#endif

namespace handoff::detail {

#ifndef NDEBUG
/// Says on stderr who broke which rule, where, and what to do; then aborts.
[[noreturn, gnu::cold, gnu::noinline]] inline void rule_broken(std::string const& what,
                                                               char const* why,
                                                               char const* instead) {
    std::array<char, 16> name{};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    std::string const text = "handoff: thread \"" + std::string(name.data()) + "\" (" +
                             std::to_string(gettid()) + ") " + what + "\nWhy it is wrong: " + why +
                             "\nWhat to do: " + instead + "\nIts C++ stack:\n" + stack_text();
    std::fputs(text.c_str(), stderr);
    std::abort();
}
#endif

/// In a debug build: aborts when the caller holds the GIL, in an operation that may wait for a
/// thread which wants it.
///
/// `held` says whether it does: gil_held, or what stands in for it where no Python is known.
template <class Held>
void assert_gil_released([[maybe_unused]] Held const& held,
                         [[maybe_unused]] char const* operation) {
#ifndef NDEBUG
    if (held()) {
        rule_broken(std::string("calls ") + operation + ", and holds the GIL",
                    "it waits for a thread that may wait for the GIL: neither goes on",
                    "release it first, `gil_release while_waiting;`, or bind with without_gil()");
    }
#endif
}

}  // namespace handoff::detail
