// assertion: the text of the report.
#include <handoff/gil/detail/assertion.hpp>
#include <handoff/gil/detail/stack.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <string>
#include <unistd.h>

namespace handoff::detail {

void rule_broken(std::string_view what, std::string_view why, std::string_view instead) noexcept {
    std::array<char, 16> name{};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    std::string text("\nhandoff: a rule of the GIL's is broken by thread \"");
    text.append(name.data()).append("\", tid ").append(std::to_string(gettid()));
    text.append("\nWhat it does: ").append(what);
    text.append("\nWhy that is wrong: ").append(why);
    text.append("\nWhat to do: ").append(instead);
    text.append("\nWhere it is:\n").append(stack_text());
    std::fputs(text.c_str(), stderr);
    std::abort();
}

}  // namespace handoff::detail
