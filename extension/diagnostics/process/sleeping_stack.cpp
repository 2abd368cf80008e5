// sleeping_stack(): the unwinder, on the stack of another thread.
#include "sleeping_stack.hpp"

#include "stack_walk.hpp"
#include "unnoticed_child.hpp"

#include <algorithm>
#include <array>
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
#include <unwind.h>

namespace handoff::detail {

namespace {

struct place {
    std::uintptr_t stack_pointer = 0;
    std::uintptr_t instruction = 0;
};

/// Of addresses.
struct range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;

    [[nodiscard]] bool contains(std::uintptr_t address) const noexcept {
        return begin <= address && address < end;
    }
};

struct memory {
    range stack;
    std::vector<range> code;
};

/// Source: proc(5), /proc/[pid]/maps.
memory memory_around(std::uintptr_t stack_pointer) {
    memory found;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        range its;
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

/// What changes if the thread runs in between.
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

/// Of state_of(). Zeros: it is in no system call.
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

/// Seconds. An unwinder that asks the loader, as before GCC 12, waits for ever where another thread
/// of the parent was just loading something.
constexpr unsigned longest_walk = 1;

walk_order const* order = nullptr;

/// How far the walk has come, to the frame that it could not leave.
struct progress {
    std::size_t frames = 0;
    std::uintptr_t instruction = 0;
    std::uintptr_t stack_pointer = 0;
};
constinit progress told;
constinit std::size_t walked = 0;  // frames, in this attempt

/// With what was found until then.
void give_up(int /*signal*/) { _exit(0); }

[[gnu::no_sanitize("address")]] void write_frame(void* frame, std::uintptr_t stack_pointer) {
    if (++walked <= told.frames) {
        return;  // a former attempt has
    }
    auto const address = reinterpret_cast<std::uintptr_t>(frame);
    static_cast<void>(write(STDOUT_FILENO, &address, sizeof address) != 0);
    told = {.frames = walked, .instruction = address, .stack_pointer = stack_pointer};
}

// A thread may be in a system call with its stack at any multiple of eight.
#if defined(__x86_64__)
#define HANDOFF_ALIGNS_ITS_STACK gnu::force_align_arg_pointer
#else
#define HANDOFF_ALIGNS_ITS_STACK gnu::noinline
#endif

/// As though it were called by the instruction at which the thread sleeps.
[[noreturn, gnu::no_sanitize("address"), HANDOFF_ALIGNS_ITS_STACK]] void walk_from_here() {
    walked = 0;
    walk_stack(&write_frame);
    _exit(0);
}

/// Goes to walk_from_here() with the thread's registers, as far as they are known.
[[gnu::no_sanitize("address")]] void begin_walk(
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

#if defined(__x86_64__)
template <class T>
[[gnu::no_sanitize("address")]] T value_at(std::uintptr_t address) noexcept {
    T value{};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): in the copy of the stack, or in code
    std::memcpy(&value, reinterpret_cast<void const*>(address), sizeof value);
    return value;
}

bool is_code(std::uintptr_t address) noexcept {
    return std::ranges::any_of(order->around.code,
                               [=](range const& each) { return each.contains(address); });
}

/// Of a procedure linkage table: it goes on to a function that may be any.
bool is_jump(std::uintptr_t instruction) noexcept {
    static constexpr std::uint32_t end_of_branch = 0xFA1E0FF3;
    static constexpr std::uint8_t bound = 0xF2;
    static constexpr std::uint16_t indirect = 0x25FF;
    if (!is_code(instruction)) {
        return false;
    }
    instruction += value_at<std::uint32_t>(instruction) == end_of_branch ? 4 : 0;
    instruction += value_at<std::uint8_t>(instruction) == bound ? 1 : 0;
    return value_at<std::uint16_t>(instruction) == indirect;
}

/// Whether a call of that function, or one of a function that the code does not name, returns
/// there. Source: Intel's manual, CALL: E8 is relative; FF /2 is indirect, of two to seven bytes.
bool is_return_from(std::uintptr_t function, std::uintptr_t to) noexcept {
    static constexpr std::uintptr_t longest_call = 7;
    static constexpr std::uintptr_t direct_call = 5;
    if (!is_code(to) || !is_code(to - longest_call)) {
        return false;
    }
    if (value_at<std::uint8_t>(to - direct_call) == 0xE8) {
        std::uintptr_t const called =
            to + static_cast<std::uintptr_t>(std::intptr_t{value_at<std::int32_t>(to - 4)});
        return called == function || is_jump(called);
    }
    for (std::uintptr_t length = 2; length <= longest_call; ++length) {
        if (value_at<std::uint8_t>(to - length) == 0xFF &&
            (unsigned{value_at<std::uint8_t>(to - length + 1)} >> 3U & 7U) == 2) {
            return true;
        }
    }
    return false;
}

/// Whether its frame begins as the compiler has it: push %rbp, soon followed by mov %rsp, %rbp.
/// That of assembler, as of libffi's calls, is at the same register, and has another form.
bool keeps_frame_pointer(std::uintptr_t function) noexcept {
    static constexpr std::uint8_t push = 0x55;
    static constexpr std::array<std::uint8_t, 3> move{0x48, 0x89, 0xE5};
    static constexpr std::uintptr_t soon = 16;  // bytes
    std::uintptr_t pushed = 0;
    for (std::uintptr_t each = function; each < told.instruction; ++each) {
        if (pushed != 0 && each - pushed <= soon &&
            value_at<std::array<std::uint8_t, 3>>(each) == move) {
            return true;
        }
        pushed = value_at<std::uint8_t>(each) == push ? each : pushed;
    }
    return false;
}

/// The frame pointer of the function that was told last: the address of its record in the stack.
/// A record is the caller's frame pointer, so the address of one further out, and the address to
/// return to. Between it and the stack pointer there may be old ones.
/// Returns: 0 where there is none.
std::uintptr_t record_of_last_frame() noexcept {
    static constexpr std::uintptr_t word = sizeof(std::uintptr_t);
    static constexpr std::uintptr_t far = 65536;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder's addresses are numbers
    void* const last = reinterpret_cast<void*>(told.instruction - 1);
    auto const function = reinterpret_cast<std::uintptr_t>(_Unwind_FindEnclosingFunction(last));
    range const& stack = order->around.stack;
    if (function == 0 || !keeps_frame_pointer(function) || !stack.contains(told.stack_pointer)) {
        return 0;
    }
    std::uintptr_t const end = std::min(stack.end, told.stack_pointer + far);
    for (std::uintptr_t each = told.stack_pointer; each + 2 * word <= end; each += word) {
        auto const outer = value_at<std::uintptr_t>(each);
        if (outer > each && stack.contains(outer) &&
            is_return_from(function, value_at<std::uintptr_t>(each + word))) {
            return each;
        }
    }
    return 0;
}
#endif

/// The walk reads where the frame pointer would lead, which the system does not show. So once, from
/// the function that keeps one.
void look_for_the_frame_pointer([[maybe_unused]] int signal) {
#if defined(__x86_64__)
    std::signal(SIGSEGV, &give_up);
    if (std::uintptr_t const found = told.frames > 0 ? record_of_last_frame() : 0) {
        begin_walk(found);
    }
#endif
    _exit(0);
}

/// On the copy of the thread's own stack.
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
        return {};  // and nothing to copy, of which memcpy() must not be told
    }
    std::vector<std::uintptr_t> addresses(written.size() / sizeof(std::uintptr_t));
    std::memcpy(addresses.data(), written.data(), addresses.size() * sizeof(std::uintptr_t));
    std::vector<void*> frames;
    // Without the walker's own.
    for (auto each = std::ranges::find(addresses, from.instruction); each != addresses.end();
         ++each) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder's addresses are numbers
        frames.push_back(reinterpret_cast<void*>(*each));
    }
    return frames;
}

}  // namespace handoff::detail
