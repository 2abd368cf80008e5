// thread_stacks: the signal, its handler, and the wait for the answers.
#include "thread_stacks.hpp"

#include "monotonic_time.hpp"
#include "stack_walk.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <semaphore.h>
#include <stdexcept>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>
#include <utility>

namespace handoff {

namespace {

using detail::wait_until;
using detail::walk_stack;
using detail::walked_stack;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds longest_answer{100};
constexpr std::chrono::seconds longest_round{2};

/// The folder of a thread of this process. Source: proc(5).
std::filesystem::path folder_of(pid_t thread) {
    return std::filesystem::path("/proc/self/task") / std::to_string(thread);
}

/// Travels with the signal. One that was not answered in time is kept: the answer may still come.
struct question {
    question() { sem_init(&answered, 0, 0); }
    ~question() { sem_destroy(&answered); }
    question(question const&) = delete;
    question& operator=(question const&) = delete;

    sem_t answered{};
    std::atomic<bool> written = false;  // orders what follows, even for tools that only see atomics
    bool (*holds_it)() noexcept = nullptr;
    pthread_t thread{};
    bool holds_gil = false;
    walked_stack walked{};
    std::array<void*, 100> frames{};
    std::uintptr_t interrupted_at = 0;
};

/// The instruction that the thread was about to execute; 0 if that cannot be determined here.
std::uintptr_t interrupted_at([[maybe_unused]] void const* context) {
#if defined(__x86_64__)
    return static_cast<std::uintptr_t>(
        static_cast<ucontext_t const*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
    return static_cast<ucontext_t const*>(context)->uc_mcontext.pc;
#else
    return 0;
#endif
}

/// Runs in the thread that is asked, wherever it was, and so does only what is async-signal-safe.
void answer(int, siginfo_t* received, void* context) {
    if (received->si_code != SI_QUEUE || received->si_pid != getpid()) {
        return;  // not from us
    }
    int const saved = errno;
    auto& asked = *static_cast<question*>(received->si_value.sival_ptr);
    static_cast<void>(asked.written.load(std::memory_order_acquire));
    asked.thread = pthread_self();
    asked.holds_gil = asked.holds_it();
    asked.interrupted_at = interrupted_at(context);
    asked.walked = walk_stack(asked.frames);
    asked.written.store(true, std::memory_order_release);
    sem_post(&asked.answered);
    errno = saved;
}

std::string first_line(std::filesystem::path const& file) {
    std::string line;
    std::getline(std::ifstream(file), line);
    return line;
}

/// Source: proc(5), "SigBlk".
bool blocks(std::filesystem::path const& thread, int signal_number) {
    static constexpr std::string_view wanted = "SigBlk:";
    std::ifstream status(thread / "status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(wanted)) {
            auto const mask = std::stoull(line.substr(wanted.size()), nullptr, 16);
            return ((mask >> static_cast<unsigned>(signal_number - 1)) & 1U) != 0;
        }
    }
    return false;
}

/// Sends a signal to this thread, which does not receive it. Returns whether the system sends it.
bool can_be_sent(int number) noexcept {
    sigset_t only;
    sigset_t former;
    sigemptyset(&only);
    sigaddset(&only, number);
    pthread_sigmask(SIG_BLOCK, &only, &former);
    bool const is_sent = pthread_kill(pthread_self(), number) == 0;
    if (is_sent) {
        timespec const now{};
        sigtimedwait(&only, nullptr, &now);
    }
    pthread_sigmask(SIG_SETMASK, &former, nullptr);
    return is_sent;
}

}  // namespace

int unused_signal() noexcept {
    // From the end, because programs that use some take the first ones. Not the last one, which is
    // valgrind's. qemu keeps some for itself: it may set one that it cannot send.
    for (int number = SIGRTMAX - 1; number >= SIGRTMIN; --number) {
        struct sigaction used{};
        if (sigaction(number, nullptr, &used) == 0 && used.sa_handler == SIG_DFL &&
            sigaction(number, &used, nullptr) == 0 && can_be_sent(number)) {
            return number;
        }
    }
    return 0;
}

stack_signal::stack_signal(bool (*holds_gil)() noexcept)
    : number_(unused_signal()), holds_gil_(holds_gil) {
    if (number_ == 0) {
        throw std::runtime_error("every real-time signal is in use");
    }
    std::array<void*, 1> first{};
    static_cast<void>(walk_stack(first));  // makes the loader load the unwinder now
    struct sigaction action{};
    action.sa_sigaction = &answer;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    sigaction(number_, &action, &before_);
}

stack_signal::~stack_signal() {
    struct sigaction ignored{};
    ignored.sa_handler = SIG_IGN;
    sigaction(number_, &ignored, nullptr);
    sigaction(number_, &before_, nullptr);
}

std::vector<thread_stack> stack_signal::ask_every_thread(std::vector<pid_t> known,
                                                         bool (*spare)(pid_t thread)) const {
    auto const end_of_round = steady_clock::now() + longest_round;
    std::vector<pid_t> ids;
    std::error_code gone;
    for (auto const& entry : std::filesystem::directory_iterator("/proc/self/task", gone)) {
        ids.push_back(static_cast<pid_t>(std::stoi(entry.path().filename().string())));
    }
    if (ids.empty()) {
        std::ranges::sort(known);
        auto const repeated = std::ranges::unique(known);
        known.erase(repeated.begin(), repeated.end());
        ids = std::move(known);
    }
    std::vector<thread_stack> threads;
    for (pid_t const id : ids) {
        if (id == gettid() || id == 0) {
            continue;
        }
        if (steady_clock::now() > end_of_round) {
            threads.push_back({.id = id,
                               .name = first_line(folder_of(id) / "comm"),
                               .silent = "there are too many threads to ask them all"});
        } else {
            threads.push_back(ask_thread(id, spare));
        }
    }
    std::ranges::sort(threads, {}, &thread_stack::id);
    return threads;
}

thread_stack stack_signal::ask_thread(pid_t id, bool (*spare)(pid_t thread)) const {
    auto const folder = folder_of(id);
    thread_stack asked{.id = id, .name = first_line(folder / "comm"), .silent = {}};
    if (blocks(folder, number_)) {
        asked.silent = "it blocks signal " + std::to_string(number_);
        asked.blocks = true;
    } else if (auto const wait = detail::uninterrupted_wait_of(id); wait && spare(id)) {
        asked.silent.append("asking it would end its ").append(wait->name).append("() early");
        asked.spared = wait;
    } else {
        ask(asked);
    }
    return asked;
}

void stack_signal::ask(thread_stack& asked) const {
    struct sigaction now{};
    sigaction(number_, nullptr, &now);
    if (now.sa_sigaction != &answer) {
        asked.silent = "somebody else handles signal " + std::to_string(number_) + " now";
        return;
    }
    auto asking = std::make_unique<question>();
    asking->holds_it = holds_gil_;
    siginfo_t sent{};
    sent.si_code = SI_QUEUE;
    sent.si_pid = getpid();
    sent.si_uid = getuid();
    sent.si_value.sival_ptr = asking.get();
    asking->written.store(false, std::memory_order_release);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), asked.id, number_, &sent) != 0) {
        asked.silent = "it has ended";
        return;
    }
    bool const in_time = wait_until(asking->answered, steady_clock::now() + longest_answer);
    if (!in_time || !asking->written.load(std::memory_order_acquire)) {
        static auto& unanswered = *new std::vector<std::unique_ptr<question>>;
        unanswered.push_back(std::move(asking));
        asked.silent = "it does not answer signal " + std::to_string(number_);
        return;
    }
    asked.handle = asking->thread;
    asked.holds_gil = asking->holds_gil;
    asked.left_out = asking->walked.left_out;
    auto* const end = asking->frames.begin() + asking->walked.taken;
    // Without the handler's own frames.
    auto const begin = std::find_if(asking->frames.begin(), end, [&](void const* frame) {
        return reinterpret_cast<std::uintptr_t>(frame) == asking->interrupted_at;
    });
    asked.frames.assign(begin == end ? asking->frames.begin() : begin, end);
}

}  // namespace handoff
