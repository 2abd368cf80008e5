// gil_statistics: figures of each thread and of each function, added up at the GIL's events.
#include "gil_statistics.hpp"

#include "call_frames.hpp"
#include "current_function.hpp"
#include "gil_events.hpp"
#include "json.hpp"
#include "mapped_array.hpp"
#include "mixed.hpp"
#include "python_code.hpp"
#include "thread_names.hpp"
#include "tick_clock.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <new>
#include <pthread.h>
#include <span>
#include <string_view>
#include <sys/prctl.h>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

/// In ticks, except the numbers of times. Written at events, one at a time; read at any time.
struct figures {
    std::atomic<std::uint64_t> takes = 0;
    std::atomic<std::uint64_t> contended = 0;  // the takes that waited
    std::atomic<std::uint64_t> held = 0;
    std::atomic<std::uint64_t> longest_hold = 0;
    std::atomic<std::uint64_t> waited = 0;
    std::atomic<std::uint64_t> longest_wait = 0;

    static void add(std::atomic<std::uint64_t>& to, std::uint64_t more) noexcept {
        to.store(to.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    }
    static void rise(std::atomic<std::uint64_t>& to, std::uint64_t candidate) noexcept {
        if (candidate > to.load(std::memory_order_relaxed)) {
            to.store(candidate, std::memory_order_relaxed);
        }
    }
    void add_hold(std::uint64_t ticks) noexcept {
        add(takes, 1);
        add(held, ticks);
        rise(longest_hold, ticks);
    }
    void add_wait(std::uint64_t ticks) noexcept {
        add(contended, 1);
        add(waited, ticks);
        rise(longest_wait, ticks);
    }
    void add_all(figures const& other) noexcept {
        add(takes, other.takes);
        add(contended, other.contended);
        add(held, other.held);
        rise(longest_hold, other.longest_hold);
        add(waited, other.waited);
        rise(longest_wait, other.longest_wait);
    }
    void clear() noexcept {
        for (auto* each : {&takes, &contended, &held, &longest_hold, &waited, &longest_wait}) {
            each->store(0, std::memory_order_relaxed);
        }
    }
};

struct of_thread {
    figures its;
    std::atomic<pid_t> id = 0;  // 0: of no living thread
    std::uint64_t waits_since = 0;
};

struct of_function {
    figures its;
    python_function key;
    std::array<char, 200> name{};  // as write_place() writes it; empty: not used yet
};

/// The figures of threads that have ended, by the threads' names.
struct of_name {
    figures its;
    std::array<char, 16> name{};
    std::uint64_t threads = 0;
};

struct tables {
    mapped_array<of_thread> threads{1U << 14U};
    mapped_array<of_function> functions{1U << 13U};
    mapped_array<of_name> ended{1U << 10U};
    std::size_t used_threads = 0;
    std::size_t used_names = 0;
    of_function native;   // no Python function was executed
    of_function others;   // there was no more room for a function
    of_name other_names;  // the same for names
    of_thread other_threads;
    std::mutex mutex;  // guards which thread has which place, and what has ended
};

tables* all = nullptr;
running_python const* python = nullptr;
function_reader reader;
moment origin{};
pthread_key_t at_thread_exit;

// Guarded by CPython's lock of the GIL, except for readers.
std::atomic<std::uint64_t> hold_number = 0;
std::atomic<std::uint64_t> hold_since = 0;  // ticks; 0: no thread holds it
std::atomic<std::uint64_t> hold_asked = 0;  // ticks; 0: no thread has requested it
std::atomic<pid_t> hold_of = 0;

[[gnu::tls_model("initial-exec")]] constinit thread_local of_thread* own = nullptr;

of_thread& own_figures() noexcept {
    if (own != nullptr) {
        return *own;
    }
    std::scoped_lock const held(all->mutex);
    of_thread* found = nullptr;
    for (std::size_t each = 0; each < all->used_threads && found == nullptr; ++each) {
        if (all->threads[each].id == 0) {
            found = &all->threads[each];
        }
    }
    if (found == nullptr && all->used_threads < all->threads.size()) {
        found = &all->threads[all->used_threads++];
    }
    if (found == nullptr) {
        return all->other_threads;
    }
    found->its.clear();
    found->id = own_thread_id();
    own = found;
    pthread_setspecific(at_thread_exit, found);
    return *found;
}

void note_end(void* ended) {
    auto& thread = *static_cast<of_thread*>(ended);
    std::array<char, 16> name{};
    prctl(PR_GET_NAME, name.data());
    own = nullptr;
    std::scoped_lock const held(all->mutex);
    of_name* found = nullptr;
    for (std::size_t each = 0; each < all->used_names && found == nullptr; ++each) {
        if (all->ended[each].name == name) {
            found = &all->ended[each];
        }
    }
    if (found == nullptr && all->used_names < all->ended.size()) {
        found = &all->ended[all->used_names++];
        found->name = name;
    }
    of_name& to = found != nullptr ? *found : all->other_names;
    to.its.add_all(thread.its);
    ++to.threads;
    thread.id = 0;
}

of_function& figures_of(python_function const& function) noexcept {
    if (function.name == nullptr || function.file == nullptr) {
        return all->native;
    }
    constexpr std::size_t most_probes = 32;
    auto const hash = mixed(reinterpret_cast<std::uintptr_t>(function.code) >> 4U);
    for (std::size_t probe = 0; probe < most_probes; ++probe) {
        of_function& its = all->functions[(hash + probe) & (all->functions.size() - 1)];
        if (its.name[0] == '\0') {
            reader.write_place(function, function.line, its.name);
            its.key = function;
        }
        if (its.key == function) {
            return its;
        }
    }
    return all->others;
}

void on_wait() noexcept { own_figures().waits_since = tick_clock::now(); }

void on_take() noexcept {
    auto const now = tick_clock::now();
    of_thread& thread = own_figures();
    if (auto const since = std::exchange(thread.waits_since, 0); since != 0) {
        thread.its.add_wait(now - since);
    }
    hold_of.store(own_thread_id(), std::memory_order_relaxed);
    hold_asked.store(0, std::memory_order_relaxed);
    hold_since.store(now, std::memory_order_relaxed);
    hold_number.store(hold_number.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void on_ask() noexcept {
    if (hold_asked.load(std::memory_order_relaxed) == 0) {
        hold_asked.store(tick_clock::now(), std::memory_order_relaxed);
    }
}

void on_drop() noexcept {
    auto const since = hold_since.load(std::memory_order_relaxed);
    auto const ticks = since == 0 ? 0 : tick_clock::now() - since;
    hold_since.store(0, std::memory_order_relaxed);
    own_figures().its.add_hold(ticks);
    void const* const state =
        reader.knows() && python->is_initialized() != 0 ? python->this_threads_state() : nullptr;
    figures_of(state != nullptr ? reader.current(state) : python_function()).its.add_hold(ticks);
}

constinit gil_listener const listener{
    .waits = &on_wait, .asks = &on_ask, .takes = &on_take, .drops = &on_drop};

/// One row of figures, in seconds except the numbers of times.
struct row {
    std::string name;
    std::uint64_t threads = 1;
    std::uint64_t takes = 0;
    std::uint64_t contended = 0;
    double held = 0;
    double longest_hold = 0;
    double waited = 0;
    double longest_wait = 0;
};

class seconds_of {
public:
    seconds_of() : scale_(origin, tick_clock::this_moment()) {}
    double operator()(std::uint64_t ticks) const noexcept {
        return static_cast<double>(scale_.nanoseconds(origin.ticks + ticks) - origin.nanoseconds) *
               1e-9;
    }

private:
    tick_scale scale_;
};

void add(row& to, figures const& its, seconds_of const& seconds) {
    to.takes += its.takes;
    to.contended += its.contended;
    to.held += seconds(its.held);
    to.longest_hold = std::max(to.longest_hold, seconds(its.longest_hold));
    to.waited += seconds(its.waited);
    to.longest_wait = std::max(to.longest_wait, seconds(its.longest_wait));
}

/// The longest holder comes first.
std::vector<row> in_order(std::vector<row> rows) {
    std::erase_if(rows, [](row const& each) { return each.takes == 0 && each.contended == 0; });
    std::ranges::sort(rows, [](row const& one, row const& other) { return one.held > other.held; });
    return rows;
}

std::vector<row> rows_of_threads(seconds_of const& seconds) {
    std::map<std::string, row> by_name;
    auto const put = [&](std::string name, figures const& its, std::uint64_t threads) {
        name = name.empty() ? "(threads without a name)" : name;
        auto const [found, is_new] = by_name.try_emplace(name);
        found->second.name = name;
        found->second.threads = (is_new ? 0 : found->second.threads) + threads;
        add(found->second, its, seconds);
    };
    std::scoped_lock const held(all->mutex);
    for (std::size_t each = 0; each < all->used_threads; ++each) {
        if (pid_t const id = all->threads[each].id; id != 0) {
            put(own_name_of(id, system_name_of(id)), all->threads[each].its, 1);
        }
    }
    for (std::size_t each = 0; each < all->used_names; ++each) {
        put(own_name_of(0, all->ended[each].name.data()), all->ended[each].its,
            all->ended[each].threads);
    }
    put("(threads of other names)", all->other_names.its, all->other_names.threads);
    put("(threads beyond the table)", all->other_threads.its, 1);
    std::vector<row> rows;
    rows.reserve(by_name.size());
    for (auto& [name, its] : by_name) {
        rows.push_back(std::move(its));
    }
    return in_order(std::move(rows));
}

/// The folder of the Python package with this library, with a slash. Empty: it is in a program.
std::string folder_of_package() {
    std::string const file = place_of(reinterpret_cast<void const*>(&folder_of_package)).file;
    static constexpr std::string_view library = "libgilcheck.so";
    return file.ends_with(library) ? file.substr(0, file.size() - library.size()) : "";
}

std::vector<row> rows_of_functions(seconds_of const& seconds) {
    std::vector<row> rows;
    row of_tool{.name = "(the tool's own functions)"};
    std::string const folder = folder_of_package();
    auto const is_own = [&](std::string_view written) {
        std::string_view const place = written.substr(written.find('\n') + 1);
        return place.starts_with(file_of_python_code) ||
               (!folder.empty() && place.starts_with(folder));
    };
    auto const put = [&](std::string_view name, of_function const& its) {
        rows.push_back({.name = std::string(name)});
        add(rows.back(), its.its, seconds);
    };
    for (std::size_t each = 0; each < all->functions.size(); ++each) {
        std::string_view const written = all->functions[each].name.data();
        if (is_own(written)) {
            add(of_tool, all->functions[each].its, seconds);
        } else if (!written.empty()) {
            put(place_in_words(written), all->functions[each]);
        }
    }
    rows.push_back(std::move(of_tool));
    put("(native code)", all->native);
    put("(functions beyond the table)", all->others);
    return in_order(std::move(rows));
}

row sum_of(std::vector<row> const& rows) {
    row sum{.name = "all", .threads = 0};
    for (row const& each : rows) {
        sum.threads += each.threads;
        sum.takes += each.takes;
        sum.contended += each.contended;
        sum.held += each.held;
        sum.longest_hold = std::max(sum.longest_hold, each.longest_hold);
        sum.waited += each.waited;
        sum.longest_wait = std::max(sum.longest_wait, each.longest_wait);
    }
    return sum;
}

std::string printed(double seconds) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.9g", seconds);
    return text.data();
}

std::string json_of(row const& its, bool has_name) {
    return (has_name ? "\"name\": " + json_string(its.name) + ", " : std::string()) +
           "\"takes\": " + std::to_string(its.takes) +
           ", \"contended\": " + std::to_string(its.contended) +
           ", \"held\": " + printed(its.held) + ", \"longest_hold\": " + printed(its.longest_hold) +
           ", \"waited\": " + printed(its.waited) +
           ", \"longest_wait\": " + printed(its.longest_wait);
}

std::string json_of(std::vector<row> const& rows) {
    std::string text;
    for (row const& each : rows) {
        text += (text.empty() ? "{" : ", {") + json_of(each, true) + "}";
    }
    return std::string("[") + text + "]";
}

void print_table(std::string& text, char const* title, std::vector<row> const& rows,
                 std::size_t most) {
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "  %10s %10s %12s %12s %12s %12s  %s\n", "takes",
                  "contended", "held s", "longest s", "waited s", "longest s", title);
    text += line.data();
    for (row const& each : std::span(rows).first(std::min(rows.size(), most))) {
        std::snprintf(line.data(), line.size(), "  %10llu %10llu %12.6f %12.6f %12.6f %12.6f  ",
                      static_cast<unsigned long long>(each.takes),
                      static_cast<unsigned long long>(each.contended), each.held, each.longest_hold,
                      each.waited, each.longest_wait);
        text += line.data() + each.name;
        text += each.threads > 1 ? " × " + std::to_string(each.threads) + "\n" : "\n";
    }
    if (rows.size() > most) {
        text += "  … " + std::to_string(rows.size() - most) + " more\n";
    }
}

/// Source: Prometheus, "Exposition formats": a label's value has \\, \" and \n escaped.
std::string label(std::string_view value) {
    std::string text;
    for (char const each : value) {
        text += each == '\n'
                    ? "\\n"
                    : (each == '\\' || each == '"' ? std::string("\\") : std::string()) + each;
    }
    return text;
}

void print_metric(std::string& text, std::string const& name, char const* kind, char const* help,
                  char const* of, std::vector<row> const& rows, auto const& value) {
    text += "# HELP " + name + ' ' + help + "\n# TYPE " + name + ' ' + kind + '\n';
    for (row const& each : rows) {
        text += name + '{' + of + "=\"" + label(each.name) + "\"} " + value(each) + '\n';
    }
}

void print_metrics(std::string& text, char const* of, std::vector<row> const& rows) {
    std::string const prefix = std::string("python_gil_") + of + '_';
    auto const number = [](std::uint64_t times) { return std::to_string(times); };
    print_metric(text, prefix + "takes_total", "counter", "How often it was taken.", of, rows,
                 [&](row const& each) { return number(each.takes); });
    print_metric(text, prefix + "contended_total", "counter", "How often a take waited.", of, rows,
                 [&](row const& each) { return number(each.contended); });
    print_metric(text, prefix + "held_seconds_total", "counter", "How long it was held.", of, rows,
                 [](row const& each) { return printed(each.held); });
    print_metric(text, prefix + "longest_hold_seconds", "gauge", "The longest hold.", of, rows,
                 [](row const& each) { return printed(each.longest_hold); });
    print_metric(text, prefix + "waited_seconds_total", "counter", "How long was waited for it.",
                 of, rows, [](row const& each) { return printed(each.waited); });
    print_metric(text, prefix + "longest_wait_seconds", "gauge", "The longest wait.", of, rows,
                 [](row const& each) { return printed(each.longest_wait); });
}

/// Only the calling thread is in the child.
void begin_in_child() {
    for (std::size_t each = 0; each < all->used_threads; ++each) {
        of_thread& thread = all->threads[each];
        thread.its.clear();
        thread.id = &thread == own ? own_thread_id() : 0;
    }
    for (std::size_t each = 0; each < all->functions.size(); ++each) {
        if (all->functions[each].name[0] != '\0') {
            all->functions[each].its.clear();
        }
    }
    all->used_names = 0;
    for (figures* each :
         {&all->native.its, &all->others.its, &all->other_names.its, &all->other_threads.its}) {
        each->clear();
    }
    hold_of = own_thread_id();
    new (&all->mutex) std::mutex();  // another thread may have held it
}

}  // namespace

void start_gil_statistics(running_python const& watched) {
    python = &watched;
    reader = function_reader(watched);
    tick_clock::ask_the_kernel();
    origin = tick_clock::this_moment();
    all = new tables();
    pthread_key_create(&at_thread_exit, &note_end);
    pthread_atfork(nullptr, nullptr, &begin_in_child);
    listen_to_gil(watched, listener);
    if (hold_since == 0 && handoff_gil_held) {
        on_take();
    }
}

current_hold hold_of_now() noexcept {
    current_hold now{.number = hold_number.load(std::memory_order_acquire),
                     .since = 0,
                     .asked = 0,
                     .thread = hold_of.load(std::memory_order_relaxed)};
    auto const since = hold_since.load(std::memory_order_relaxed);
    if (since == 0) {
        return {};
    }
    tick_scale const scale(origin, tick_clock::this_moment());
    auto const asked = hold_asked.load(std::memory_order_relaxed);
    now.since = scale.nanoseconds(since);
    now.asked = asked == 0 ? 0 : scale.nanoseconds(asked);
    return now;
}

std::string gil_statistics(statistics_format format) {
    seconds_of const seconds;
    auto const threads = rows_of_threads(seconds);
    auto const functions = rows_of_functions(seconds);
    row const sum = sum_of(threads);
    std::string text;
    switch (format) {
        case statistics_format::json:
            return std::string("{") + json_of(sum, false) + ", \"threads\": " + json_of(threads) +
                   ", \"functions\": " + json_of(functions) + "}\n";
        case statistics_format::prometheus:
            print_metrics(text, "thread", threads);
            print_metrics(text, "function", functions);
            return text;
        case statistics_format::text:
            break;
    }
    constexpr std::size_t most = 20;
    text = "gilcheck: the GIL was taken " + std::to_string(sum.takes) + " times, " +
           std::to_string(sum.contended) + " of them after a wait; held for " + printed(sum.held) +
           " s, at longest " + printed(sum.longest_hold) + " s; waited for, in sum " +
           printed(sum.waited) + " s, at longest " + printed(sum.longest_wait) + " s\n";
    print_table(text, "thread", threads, most);
    print_table(text, "function that was executed when the hold ended", functions, most);
    return text;
}

}  // namespace handoff::detail
