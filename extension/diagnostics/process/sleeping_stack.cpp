// sleeping_stack(): runs the unwinder on the stack of another thread.
#include "sleeping_stack.hpp"

#include "frame_record.hpp"
#include "stack_walk.hpp"
#include "unnoticed_child.hpp"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <ucontext.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

struct place {
    std::uintptr_t stack_pointer = 0;
    std::uintptr_t instruction = 0;
};

struct memory {
    address_range stack;
    std::vector<address_range> code;
};

/// Source: proc(5), /proc/[pid]/maps.
memory memory_around(std::uintptr_t stack_pointer) {
    memory found;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        address_range its;
        std::string rights;
        char dash = '-';
        std::istringstream(line) >> std::hex >> its.begin >> dash >> its.end >> rights;
        if (its.contains(stack_pointer)) {
            found.stack = its;
        }
        if (rights.find('x') != std::string::npos) {
            found.code.push_back(its);
        }
    }
    return found;
}

/// A text that changes if the thread runs in between.
std::string state_of(pid_t thread) {
    std::string const folder = "/proc/self/task/" + std::to_string(thread);
    std::string state;
    for (char const* const file : {"/syscall", "/schedstat"}) {
        std::string line;
        std::getline(std::ifstream(folder + file), line);
        state += line + "\n";
    }
    return state;
}

/// From state_of(). Zeros: it is in no system call.
place place_in(std::string const& state) {
    std::istringstream words(state.substr(0, state.find('\n')));
    std::vector<std::string> all;
    for (std::string word; words >> word;) {
        all.push_back(word);
    }
    if (all.size() < 3 || all[0].starts_with('-')) {
        return {};
    }
    static constexpr int base = 16;
    return {.stack_pointer = std::stoull(all[all.size() - 2], nullptr, base),
            .instruction = std::stoull(all.back(), nullptr, base)};
}

struct walk_order {
    place from;
    memory around;
};

// In the child, which is one thread.

/// Seconds. An unwinder that asks the loader, as before GCC 12, waits forever if another thread of
/// the parent was loading something just then.
constexpr unsigned longest_walk = 1;

walk_order const* order = nullptr;

/// How far the walk has come: the frame that it could not leave.
struct progress {
    std::size_t frames = 0;
    std::uintptr_t instruction = 0;
    std::uintptr_t stack_pointer = 0;
};
constinit progress told;
constinit std::size_t walked = 0;  // frames, in this attempt

/// Ends with what was found until then.
void give_up(int /*signal*/) { _exit(0); }

[[gnu::no_sanitize_address]] void write_frame(void* frame, std::uintptr_t stack_pointer) {
    if (++walked <= told.frames) {
        return;  // an earlier attempt has written it
    }
    auto const address = reinterpret_cast<std::uintptr_t>(frame);
    static_cast<void>(write(STDOUT_FILENO, &address, sizeof address) != 0);
    told = {.frames = walked, .instruction = address, .stack_pointer = stack_pointer};
}

// A thread's stack in a system call may be at any multiple of eight.
#if defined(__x86_64__)
#define HANDOFF_ALIGNS_ITS_STACK gnu::force_align_arg_pointer
#else
#define HANDOFF_ALIGNS_ITS_STACK gnu::noinline
#endif

/// As if the instruction at which the thread sleeps had called it.
[[noreturn, gnu::no_sanitize_address, HANDOFF_ALIGNS_ITS_STACK]] void walk_from_here() {
    walked = 0;
    walk_stack(&write_frame);
    _exit(0);
}

/// Goes to walk_from_here() with the thread's registers, as far as they are known.
[[gnu::no_sanitize_address]] void begin_walk(
    [[maybe_unused]] std::uintptr_t frame_pointer) noexcept {
    place const& from = order->from;
    ucontext_t there{};
    if (getcontext(&there) != 0) {
        return;
    }
    auto& registers = there.uc_mcontext;
    sigemptyset(&there.uc_sigmask);
#if defined(__x86_64__)
    std::uintptr_t const pushed = from.stack_pointer - sizeof(std::uintptr_t);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the system wrote it
    std::memcpy(reinterpret_cast<void*>(pushed), &from.instruction, sizeof from.instruction);
    for (int const number : {REG_RBX, REG_R12, REG_R13, REG_R14, REG_R15}) {
        registers.gregs[number] = 0;
    }
    registers.gregs[REG_RBP] = static_cast<greg_t>(frame_pointer);
    registers.gregs[REG_RSP] = static_cast<greg_t>(pushed);
    registers.gregs[REG_RIP] = reinterpret_cast<greg_t>(&walk_from_here);
    setcontext(&there);
#elif defined(__aarch64__)
    std::fill(std::begin(registers.regs), std::end(registers.regs), 0);
    static constexpr std::size_t link = 30;
    registers.regs[link] = from.instruction;
    registers.sp = from.stack_pointer;
    registers.pc = reinterpret_cast<std::uintptr_t>(&walk_from_here);
    setcontext(&there);
#endif
}

/// The walk has read from the frame pointer, which the system does not show. So it continues once,
/// from the function that keeps a frame pointer.
void look_for_the_frame_pointer([[maybe_unused]] int signal) {
#if defined(__x86_64__)
    std::signal(SIGSEGV, &give_up);
    auto const& [stack, code] = order->around;
    if (told.frames > 0) {
        if (auto const found = frame_record(stack, code, told.instruction, told.stack_pointer)) {
            begin_walk(found);
        }
    }
#endif
    _exit(0);
}

/// Runs on the copy of the thread's own stack.
void walk(void* given) {
    order = static_cast<walk_order const*>(given);
    std::signal(SIGSEGV, &look_for_the_frame_pointer);
    std::signal(SIGBUS, &give_up);
    std::signal(SIGALRM, &give_up);
    alarm(longest_walk);
    begin_walk(0);
}

}  // namespace

std::vector<void*> sleeping_stack(pid_t thread) {
    std::string const state = state_of(thread);
    place const from = place_in(state);
    if (from.instruction == 0) {
        return {};
    }
    walk_order ordered{.from = from, .around = memory_around(from.stack_pointer)};
    std::string const written = output_of_child(&walk, &ordered);
    if (written.empty() || state_of(thread) != state) {
        return {};  // nothing to copy, and memcpy() may not get a null pointer
    }
    std::vector<std::uintptr_t> addresses(written.size() / sizeof(std::uintptr_t));
    std::memcpy(addresses.data(), written.data(), addresses.size() * sizeof(std::uintptr_t));
    std::vector<void*> frames;
    // Without the walker's own frames.
    for (auto each = std::ranges::find(addresses, from.instruction); each != addresses.end();
         ++each) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder's addresses are numbers
        frames.push_back(reinterpret_cast<void*>(*each));
    }
    return frames;
}

}  // namespace handoff::detail
