// python_stacks: faulthandler, in a child.
#include "python_stacks.hpp"

#include "gil_events.hpp"
#include "own_memory.hpp"
#include "python_code.hpp"
#include "thread_stacks.hpp"
#include "unnoticed_child.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cinttypes>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string_view>
#include <sys/syscall.h>
#include <type_traits>
#include <unistd.h>
#include <utility>

namespace handoff::detail {

namespace {

[[gnu::tls_model("initial-exec")]] constinit thread_local bool ended_python = false;

// Set once, before the first report.
int (*add_pending_call)(int (*)(void*), void*) = nullptr;
int (*at_exit)(void (*)()) = nullptr;  // Py_AtExit()
std::atomic<int> stacks_signal = 0;  // faulthandler answers it, on standard output
struct sigaction stacks_answer{};

/// The handler that faulthandler restores when Python ends, perhaps during a report.
void do_nothing(int /*signal*/) {}

/// Called last when Python ends, on the thread that ends it.
void python_has_ended() {
    gil_is_gone();
    ended_python = true;
    // faulthandler has released the signal; for another Python it is asked again.
    if (int const number = stacks_signal.exchange(0); number > 0) {
        struct sigaction now{};
        if (sigaction(number, nullptr, &now) == 0 && now.sa_handler == &do_nothing) {
            std::signal(number, SIG_DFL);
        }
    }
}

/// Does what faulthandler.register() does; and is told when this Python ends. GIL: held.
int ask_faulthandler(void* /*unused*/) {
    if (stacks_signal == 0) {
        ended_python = false;
        at_exit(&python_has_ended);
        int const number = unused_signal();
        std::signal(number, &do_nothing);
        std::array<char, 160> code{};
        std::snprintf(code.data(), code.size(),
                      "import faulthandler\n"
                      "faulthandler.register(%d, file=%d, all_threads=True, chain=False)\n",
                      number, STDOUT_FILENO);
        bool const is_registered = number != 0 && run_python(code.data()) &&
                                   sigaction(number, nullptr, &stacks_answer) == 0;
        stacks_signal = is_registered ? number : -1;  // and it is known which handler answers it
    }
    return 0;
}

/// A Python stack from the innermost function outwards, as far as the code that runs a program for
/// `python3 -m gilcheck` and its siblings.
std::string without_our_own(std::string stack) {
    if (auto const found = stack.find("/gilcheck/program.py\", line ");
        found != std::string::npos) {
        stack.resize(stack.rfind('\n', found) + 1);
    }
    return stack;
}

/// Where glibc stores a thread's number, in what a pthread_t refers to; 0: not found. Found by the
/// caller's own number; the caller is not the main thread.
std::ptrdiff_t place_of_number() noexcept {
    static constexpr std::ptrdiff_t longest = 2048;  // shorter than glibc's struct pthread
    auto const own = static_cast<std::uintptr_t>(pthread_self());
    for (std::ptrdiff_t place = sizeof(pid_t); place < longest; place += sizeof(pid_t)) {
        if (number_at(own + static_cast<std::uintptr_t>(place)) == own_thread_id()) {
            return place;
        }
    }
    return 0;
}

/// In a child. In this process other threads run Python, so what faulthandler reads changes while
/// it reads; and the program may have closed the file that it writes to, or reused its number.
void answer(void* /*unused*/) {
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, stacks_signal);
    sigprocmask(SIG_UNBLOCK, &only, nullptr);
    // Not raise(), which uses the parent's numbers.
    syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), stacks_signal.load());
}

}  // namespace

void prepare_python_stacks(loaded_object const& interpreter) {
    auto const look_up = [&](auto& function, char const* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
            interpreter.find(name).address);
    };
    look_up(add_pending_call, "Py_AddPendingCall");
    look_up(at_exit, "Py_AtExit");
    prepare_python_code(interpreter);
}

void ask_for_python_stacks(bool held) {
    if (held) {
        ask_faulthandler(nullptr);
    } else if (stacks_signal == 0) {
        add_pending_call(&ask_faulthandler, nullptr);
    }
}

std::string python_stacks() {
    struct sigaction now{};
    if (stacks_signal <= 0 || sigaction(stacks_signal, nullptr, &now) != 0 ||
        now.sa_handler != stacks_answer.sa_handler) {  // the program has taken the signal
        return {};
    }
    return output_of_child(&answer, nullptr);
}

std::string python_stack_of(pthread_t thread, std::string const& stacks) {
    std::array<char, 40> head{};
    std::snprintf(head.data(), head.size(), "hread 0x%016" PRIxPTR,
                  static_cast<std::uintptr_t>(thread));
    auto const found = stacks.find(head.data());
    if (found == std::string::npos) {
        return {};
    }
    auto const begin = std::min(stacks.find('\n', found), stacks.size() - 1) + 1;
    auto const end = std::min(stacks.find("\n\n", begin), stacks.find("hread 0x", begin));
    return without_our_own(stacks.substr(begin, end - begin));
}

namespace {

/// Between a test and its runner lie some thirty functions, which say nothing.
bool is_of_pytest(std::string_view file) noexcept {
    return file.find("/_pytest/") != std::string_view::npos ||
           file.find("/pluggy/") != std::string_view::npos;
}

}  // namespace

std::vector<std::string> python_lines(std::string const& stack) {
    static constexpr std::string_view begin = "  File \"";
    static constexpr std::string_view before_number = "\", line ";
    static constexpr std::string_view before_name = " in ";
    std::vector<std::string> found;
    unsigned of_pytest = 0;
    auto const end_of_pytest = [&] {
        if (of_pytest > 0) {
            found.push_back("… " + std::to_string(std::exchange(of_pytest, 0)) + " of pytest's");
        }
    };
    std::istringstream lines(stack);
    for (std::string line; std::getline(lines, line);) {
        auto const number = line.rfind(before_number);
        auto const name = number == std::string::npos ? number : line.find(before_name, number);
        if (!line.starts_with(begin) || name == std::string::npos) {
            if (line == "  ...") {  // a stack that is too long ends so
                found.emplace_back("…");
            }
            continue;
        }
        std::string_view const file(line.data() + begin.size(), number - begin.size());
        if (is_of_pytest(file)) {
            ++of_pytest;
            continue;
        }
        end_of_pytest();
        std::string place = line.substr(name + before_name.size());
        place += place.ends_with('>') ? " at " : "() at ";
        place.append(file).append(":");
        auto const digits = number + before_number.size();
        found.push_back(place.append(line, digits, name - digits));
    }
    end_of_pytest();
    return found;
}

std::optional<pthread_t> python_thread(pid_t thread, std::string const& stacks) {
    static constexpr std::string_view head = "hread 0x";
    static constinit std::optional<std::ptrdiff_t> known;
    std::ptrdiff_t const place = known ? *known : known.emplace(place_of_number());
    if (place == 0) {
        return std::nullopt;
    }
    for (auto found = stacks.find(head); found != std::string::npos;
         found = stacks.find(head, found + 1)) {
        std::uintptr_t handle = 0;
        char const* const digits = stacks.data() + found + head.size();
        std::from_chars(digits, stacks.data() + stacks.size(), handle, 16);
        if (number_at(handle + static_cast<std::uintptr_t>(place)) == thread) {
            return static_cast<pthread_t>(handle);
        }
    }
    return std::nullopt;
}

bool ended_python_here() noexcept { return ended_python; }

}  // namespace handoff::detail
