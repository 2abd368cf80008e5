// gil_recording: writes events into mapped chunks of a file, so that nothing is lost if the process
// dies. CPython's own lock of the GIL guards everything that is called at an event: see gil_events.
#include "gil_recording.hpp"

#include "current_function.hpp"
#include "holder_stacks.hpp"
#include "pushed.hpp"
#include <handoff/gil/label.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <pthread.h>
#include <span>
#include <stdexcept>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace handoff::detail {

using namespace recorded;

namespace {

/// Lets a name be found without making a std::string.
struct hash_of_text {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
        return std::hash<std::string_view>()(text);
    }
};
using numbered_names =
    std::unordered_map<std::string, std::uint32_t, hash_of_text, std::equal_to<>>;

/// A chunk into which nothing is written any more.
struct full_chunk {
    off_t where = 0;  // in the file
    std::uint32_t size = 0;
    std::uint64_t latest = 0;  // ticks of its last event
};

struct recording {
    std::string path;
    std::string (*child_path)(std::string const&, pid_t) = nullptr;
    recording_options wanted{};
    std::filesystem::path place;  // the same, even if the program changes its folder
    struct stat file{};  // its device and inode
    off_t size = 0;
    header* head = nullptr;
    std::uint32_t lanes = 0;
    numbered_names names;
    chunk* name_chunk = nullptr;
    char* name_place = nullptr;  // where the next name is written
    std::vector<std::pair<std::uint32_t, std::string>> unwritten;  // names without room so far
    bool begins = false;  // in a child: the file is made at its first event
    std::deque<full_chunk> full;  // the first one is reused first
};

/// What a thread writes to; it may belong to the last recording.
struct buffer {
    unsigned of = 0;  // the recording
    event* next = nullptr;
    event* end = nullptr;
    chunk* mapped = nullptr;
    off_t where = 0;  // in the file
    std::uint64_t waits_since = 0;  // ticks; 0: it does not wait for the GIL
    python_function function{};  // of the last hold ...
    std::uint32_t name = 0;  // ... which has this name
};

recording& current() {
    static auto& only = *new recording();
    return only;
}

std::atomic<unsigned> number = 0;  // of the recording; earlier ones are over
std::atomic<bool> is_on = false;
std::atomic<unsigned> making_room = 0;  // threads that make room now
running_python const* python = nullptr;
function_reader functions;
std::uint64_t last_event = 0;  // its ticks: the lock orders events, which the counter may not do
std::uint64_t held_since = 0;  // ticks
std::uint64_t look_after = 0;  // ticks of a hold; 0: never
std::uint64_t next_look = 0;  // when the holder will have held the GIL for long
std::uint32_t stacks = 0;  // different ones that were recorded
std::uint64_t keeps = 0;  // ticks; 0: all
std::uint64_t long_wait = 0;  // ticks; 0: no wait is
std::uint64_t next_long_wait = 0;  // no report before then
unsigned long_waits = 0;  // that were reported
std::atomic<unsigned> readers = 0;  // of the file, while it is written
pthread_key_t own_key{};

[[gnu::tls_model("initial-exec")]] constinit thread_local buffer own{};

/// A chunk of zeros at the end of this file, the recording's. Returns null if there is no room for
/// it; errno then says why.
void* add(recording& now, int file, std::size_t size) {
    void* mapped = MAP_FAILED;
    static constexpr std::array<char, largest_chunk> zeros{};
    ssize_t const written = pwrite(file, zeros.data(), size, now.size);
    if (std::cmp_equal(written, size)) {
        mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, now.size);
    } else if (written >= 0) {
        errno = ENOSPC;  // only a part of it had room
    }
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    now.size += static_cast<off_t>(size);
    return mapped;
}

/// Calls `done` with the file, which is opened by its name. Its descriptor is not kept: a program
/// may close descriptors that it does not know, as every daemon does, and reuse the number for a
/// file of its own. Returns null if the file is not found; errno then says why.
/// Source: python-daemon's close_all_open_files().
template <class Done>
void* with_file(recording const& now, Done const& done) {
    int const file = open(now.place.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return nullptr;
    }
    struct stat found{};
    bool const is_it = fstat(file, &found) == 0 && found.st_dev == now.file.st_dev &&
                       found.st_ino == now.file.st_ino;
    errno = ENOENT;
    void* const mapped = is_it ? done(file) : nullptr;
    int const failure = errno;
    close(file);
    errno = failure;
    return mapped;
}

/// The same as above, on the file that is found by its name.
void* add(recording& now, std::size_t size) {
    return with_file(now, [&](int file) { return add(now, file, size); });
}

/// Maps what is there already. Returns null if that fails.
void* map(recording const& now, off_t where, std::size_t size) {
    return with_file(now, [=](int file) {
        void* const mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, where);
        return mapped == MAP_FAILED ? nullptr : mapped;
    });
}

/// Releases everything of a recording except its path. A parent's file is not changed.
void leave(recording& over) {
    if (over.head != nullptr) {
        munmap(over.head, page);
    }
    if (over.name_chunk != nullptr) {
        munmap(over.name_chunk, over.name_chunk->size);
    }
    recording fresh;
    fresh.path = std::move(over.path);
    fresh.child_path = over.child_path;
    fresh.wanted = over.wanted;
    over = std::move(fresh);
}

constexpr std::string_view recording_signature = "giltrace";

/// Whether that process has mapped the file. Source: proc(5), /proc/[pid]/maps.
bool is_mapped_by(pid_t process, ino_t file) {
    std::ifstream maps(std::string("/proc/").append(std::to_string(process)).append("/maps"));
    std::string const wanted = std::string(" ").append(std::to_string(file)).append(" ");
    for (std::string line; std::getline(maps, line);) {
        if (line.find(wanted) != std::string::npos) {
            return true;
        }
    }
    return false;
}

/// Throws: std::invalid_argument: there is a file of that name, which is not a recording, or which
///         another process is writing.
void make_sure_of_recording(std::string const& path) {
    header begin{};
    int const file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) {
        return;  // there is none, or creating it will report the error
    }
    struct stat its{};
    bool const is_file = fstat(file, &its) == 0 && S_ISREG(its.st_mode);
    auto const length = is_file ? read(file, &begin, sizeof begin) : 0;
    close(file);
    if (length == sizeof begin && begin.process != getpid() &&
        is_mapped_by(begin.process, its.st_ino)) {
        throw std::invalid_argument(std::string("giltrace: process ")
                                        .append(std::to_string(begin.process))
                                        .append(" writes '")
                                        .append(path)
                                        .append("' now: choose another name"));
    }
    if (!is_file || (length > 0 && std::string_view(std::data(begin.magic), sizeof begin.magic) !=
                                       recording_signature)) {
        throw std::invalid_argument("giltrace: '" + path +
                                    "' exists, and is not a recording: it is left as it is: remove "
                                    "it, or choose another name");
    }
}

/// Throws: as start_recording().
void begin(recording& now) {
    make_sure_of_recording(now.path);
    now.place = std::filesystem::absolute(now.path);
    unlink(now.path.c_str());  // not truncated: another process may have it mapped
    int const file = open(now.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    now.size = 0;
    void* const mapped = file < 0 || fstat(file, &now.file) != 0 ? nullptr : add(now, file, page);
    int const failure = errno;
    if (file >= 0) {
        close(file);
    }
    if (mapped == nullptr) {
        if (file >= 0) {
            unlink(now.path.c_str());
        }
        throw std::system_error(failure, std::generic_category(),
                                "giltrace: cannot write the recording, '" + now.path + "'");
    }
    now.head = static_cast<header*>(mapped);
    recording_signature.copy(now.head->magic, sizeof now.head->magic);
    now.head->version = version;
    now.head->process = getpid();
    now.head->begin = tick_clock::this_moment();
    do {  // until the scale of ticks is known well enough, in case no later moment comes
        now.head->latest = tick_clock::this_moment();
    } while (now.head->latest.nanoseconds - now.head->begin.nanoseconds < 100'000);
    tick_scale const scale(now.head->begin, now.head->latest);
    auto const ticks_in = [&scale](std::chrono::duration<double, std::nano> time) {
        return scale.ticks_in(time.count());
    };
    look_after = ticks_in(now.wanted.stack_after);
    keeps = ticks_in(now.wanted.last);
    long_wait = ticks_in(now.wanted.when_wait_exceeds);
    next_long_wait = 0;
    long_waits = 0;
    now.head->kept = static_cast<std::uint64_t>(
        std::chrono::duration<double, std::nano>(now.wanted.last).count());
    last_event = 0;
    held_since = now.head->latest.ticks;
    next_look = held_since + look_after;
    stacks = 0;
    std::string_view const program = program_invocation_short_name;
    program.copy(now.head->program, sizeof now.head->program - 1);
    now.begins = false;
    ++number;
}

void unmap(buffer& from) noexcept {
    if (from.mapped != nullptr) {
        munmap(from.mapped, from.mapped->size);
    }
    from.mapped = nullptr;
    from.next = from.end = nullptr;
}

void note_own_name(chunk& into) noexcept { prctl(PR_GET_NAME, into.name); }

/// The chunk of a thread that has ended.
struct left_chunk {
    full_chunk its;
    unsigned of = 0;  // the recording
    left_chunk* before = nullptr;
};
constinit pushed<left_chunk> left_chunks{};

/// Called when a thread ends, or its chunk is full. Returns: where it was.
full_chunk finish(buffer& full) noexcept {
    full_chunk its{.where = full.where};
    if (full.mapped != nullptr && full.of == number.load(std::memory_order_relaxed)) {
        note_own_name(*full.mapped);
        its.size = full.mapped->size;
        auto const* const first = reinterpret_cast<event*>(full.mapped + 1);
        its.latest = full.next == first ? 0 : full.next[-1].when;
    }
    unmap(full);
    return its;
}

void finish_thread(void* /*unused*/) {
    unsigned const of = own.of;
    full_chunk const its = finish(own);
    if (keeps != 0 && its.size != 0) {
        left_chunks.push(std::make_unique<left_chunk>(left_chunk{.its = its, .of = of}));
    }
}

/// A chunk that is no longer wanted, filled with zeros. Returns null if there is none.
chunk* use_again(recording& now, off_t& where) {
    for (auto const& each : left_chunks.take()) {
        if (each->of == number.load(std::memory_order_relaxed)) {
            now.full.push_back(each->its);
        }
    }
    if (keeps == 0 || readers > 0 || now.full.empty() ||
        now.full.front().latest + keeps > tick_clock::now()) {
        return nullptr;
    }
    full_chunk const oldest = now.full.front();
    auto* const mapped = static_cast<chunk*>(map(now, oldest.where, oldest.size));
    if (mapped == nullptr) {
        return nullptr;
    }
    now.full.pop_front();
    where = oldest.where;
    mapped->what = content::nothing;  // while it is neither the old chunk nor the new one
    mapped->lost_since = 0;
    std::memset(static_cast<void*>(mapped + 1), 0, oldest.size - sizeof(chunk));
    return mapped;
}

/// Makes room for the calling thread's events. Returns false if there is none.
bool open_chunk(recording& now) {
    bool const is_new = own.of != number.load(std::memory_order_relaxed) || own.mapped == nullptr;
    std::uint32_t const size =
        is_new ? page : std::min<std::uint32_t>(2 * own.mapped->size, largest_chunk);
    off_t where = now.size;
    chunk* added = use_again(now, where);
    if (added == nullptr) {
        added = static_cast<chunk*>(add(now, size));
        if (added == nullptr) {
            return false;
        }
        added->size = size;
    }
    // The former chunk is kept until there is another: it says since when events are missing.
    std::uint32_t const lane = is_new ? ++now.lanes : own.mapped->lane;
    if (is_new) {
        unmap(own);  // the mapped chunk belongs to another recording
        own = {.of = number.load(std::memory_order_relaxed)};
    } else {
        now.full.push_back(finish(own));
    }
    now.head->latest = tick_clock::this_moment();
    added->lane = lane;
    added->thread = own_thread_id();
    note_own_name(*added);
    added->what = content::events;
    own.mapped = added;
    own.where = where;
    own.next = reinterpret_cast<event*>(added + 1);
    auto const events = (added->size - sizeof(chunk)) / sizeof(event);
    own.end = own.next + events;
    pthread_setspecific(own_key, added);
    return true;
}

/// Makes room for names. Returns false if there is none.
bool open_name_chunk(recording& now, std::uint32_t size) {
    auto* const added = static_cast<chunk*>(add(now, size));
    if (added == nullptr) {
        return false;
    }
    if (now.name_chunk != nullptr) {
        munmap(now.name_chunk, now.name_chunk->size);
    }
    added->size = size;
    added->what = content::names;
    now.name_chunk = added;
    now.name_place = reinterpret_cast<char*>(added + 1);
    return true;
}

/// Returns false if there is no room for it.
bool write_name(recording& now, std::uint32_t called, std::string_view text) {
    text = text.substr(0, largest_chunk / 2);
    std::size_t const needed = (sizeof(recorded::name) + text.size() + 7) / 8 * 8;
    bool const has_room =
        now.name_chunk != nullptr &&
        now.name_place + needed <= reinterpret_cast<char*>(now.name_chunk) + now.name_chunk->size;
    if (!has_room && !open_name_chunk(now, largest_chunk) &&
        (sizeof(chunk) + needed > page || !open_name_chunk(now, page))) {
        return false;
    }
    auto* const made = reinterpret_cast<recorded::name*>(now.name_place);
    made->number = called;
    text.copy(now.name_place + sizeof *made, text.size());
    made->length = static_cast<std::uint32_t>(text.size());
    now.name_place += needed;
    return true;
}

/// Tries again, because there may be room now.
void write_unwritten(recording& now) {
    std::erase_if(now.unwritten,
                  [&now](auto const& each) { return write_name(now, each.first, each.second); });
}

bool is_of_this_recording() noexcept { return own.of == number.load(std::memory_order_relaxed); }

/// There is no room for an event of the calling thread. error: an errno.
void note_loss(header& head, int error) noexcept {
    auto const now = std::max(last_event, tick_clock::now());
    if (head.lost++ == 0) {
        head.lost_since = now;
        head.lost_error = error;
    }
    head.lost_until = now;
    if (is_of_this_recording() && own.mapped != nullptr && own.mapped->lost_since == 0) {
        own.mapped->lost_since = now;
    }
}

/// Returns false if there is no room, or the recording is over: then the file is not touched.
[[gnu::noinline]] bool make_room() noexcept {
    recording& now = current();
    ++making_room;
    bool made = false;
    if (is_on) {
        try {
            if (std::exchange(now.begins, false)) {  // only once, even if it fails
                now.path = now.child_path(now.path, getpid());
                begin(now);
            }
            made = now.head != nullptr && open_chunk(now);
            if (made && !now.unwritten.empty()) {
                write_unwritten(now);
            }
        } catch (std::exception const&) {
            errno = ENOMEM;  // or there is no recording at all
        }
        if (!made && now.head != nullptr) {
            note_loss(*now.head, errno);
        }
    }
    --making_room;
    return made;
}

/// when: ticks; 0: now.
void record(kind what, std::uint32_t name = 0, std::uint64_t when = 0) noexcept {
    if ((!is_of_this_recording() || own.next == own.end) && !make_room()) {
        return;
    }
    event& made = *own.next++;
    made.what = what;
    made.name = name;
    if (when == 0) {
        when = last_event = std::max(last_event, tick_clock::now());
    }
    std::atomic_ref(made.when).store(when, std::memory_order_release);
}

std::uint32_t number_of(recording& now, std::string_view text, std::uint32_t kind) {
    auto const known = now.names.find(text);
    if (known != now.names.end()) {
        return known->second;
    }
    auto const fresh = static_cast<std::uint32_t>(now.names.size() + 1);
    now.names.emplace(text, fresh);
    if (!write_name(now, fresh | kind, text)) {
        now.unwritten.emplace_back(fresh | kind, text);
    }
    return fresh;
}

/// For example "Queue.get (queue.py:154)".
std::string_view text_of(python_function const& function, int line, std::span<char> room) {
    std::array<char, 512> path;
    std::string_view file(path.data(), functions.write_utf8(function.file, path));
    file.remove_prefix(file.rfind('/') + 1);
    std::size_t const most = room.size() - std::min<std::size_t>(file.size(), 256) - 16;
    char* end = functions.write_utf8(function.name, room.first(most));
    auto const append = [&end](std::string_view text) { end += text.copy(end, text.size()); };
    append(" (");
    append(file.substr(0, 256));
    append(":");
    end = std::to_chars(end, room.data() + room.size(), line).ptr;
    append(")");
    return {room.data(), end};
}

/// The name of holds in a Python whose objects are unknown: they may be Python code, or not.
constexpr char const* not_known =
    "a function that is not known (giltrace knows those of Python 3.11 to 3.15)";

/// The name of a hold whose name differs from the thread's last.
[[gnu::noinline]] std::uint32_t name_anew(python_function const& running) {
    recording& now = current();
    if (now.head == nullptr) {
        return 0;
    }
    std::array<char, 1024> room;
    std::string_view const text = running.name != nullptr
                                      ? text_of(running, running.line, room)
                                      : std::string_view(static_cast<char const*>(running.code));
    if (text.empty()) {
        return 0;
    }
    std::uint32_t const found =
        number_of(now, text.substr(0, room.size()),
                  hold_label != nullptr && running.code == hold_label ? is_label : 0);
    if (is_of_this_recording()) {
        own.function = running;
        own.name = found;
        if (own.mapped != nullptr && own.mapped->size == page) {
            note_own_name(*own.mapped);  // Python names a thread when it begins
        }
    }
    return found;
}

/// What this thread does with the GIL when it drops it; 0 if that is not known. It can still read
/// this after the GIL is dropped: no thread can take the GIL before CPython's lock is free.
std::uint32_t name_of_hold() {
    python_function running{};
    void* const state = functions.knows() ? python->this_threads_state() : nullptr;
    if (state != nullptr) {
        running = functions.current(state);
    }
    if (running.code == nullptr) {
        char const* const otherwise = functions.knows() ? nullptr : not_known;
        running.code = hold_label != nullptr ? hold_label : otherwise;
        if (running.code == nullptr) {
            return 0;
        }
    }
    return is_of_this_recording() && running == own.function ? own.name : name_anew(running);
}

/// Writes the current name of a thread of this process; nothing if it has none, or has ended.
void write_thread_name(recording& now, pid_t thread) {
    std::array<char, thread_name> name{};
    int const file =
        open(("/proc/self/task/" + std::to_string(thread) + "/comm").c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return;
    }
    auto const length = read(file, name.data(), name.size());
    close(file);
    if (length > 1) {  // it ends with a line feed
        write_name(now, is_thread | static_cast<std::uint32_t>(thread),
                   {name.data(), static_cast<std::size_t>(length - 1)});
    }
}

/// How often the holder of the GIL was asked to drop it: once in 5 ms.
constinit unsigned asked = 0;

/// Records the holder's name, which it got after it had begun: if it never drops the GIL, there is
/// no later moment to do so.
[[gnu::noinline]] void note_holders_name() noexcept {
    recording& now = current();
    ++making_room;
    if (is_on && now.head != nullptr) {
        try {
            write_thread_name(now, holder_of_gil().id);
        } catch (std::exception const&) {  // NOLINT(bugprone-empty-catch): it keeps that it had
        }
    }
    --making_room;
}

/// Reports at most this many, and each only when what is kept of the last one has passed.
void tell_of_long_wait() noexcept {
    static constexpr unsigned most_told = 10;
    if (last_event >= next_long_wait && long_waits < most_told) {
        ++long_waits;
        next_long_wait = last_event + keeps;
        holder_stacks::want(current().wanted.on_long_wait);
    }
}

/// Keeps the program's errno. For example, CPython sets it to zero before it drops the GIL for a
/// readdir(), and checks it after that.
class errno_kept {
public:
    errno_kept() noexcept : before_(errno) {}
    ~errno_kept() { errno = before_; }
    errno_kept(errno_kept const&) = delete;
    errno_kept& operator=(errno_kept const&) = delete;

private:
    int before_;
};

void on_wait() noexcept {
    errno_kept const as_it_was;
    record(kind::waits);
    own.waits_since = last_event;
}

void record_stack(recording& now, holder_stacks::sighting const& seen) {
    static constexpr std::uint32_t most_stacks = 10'000;  // they are kept as long as the recording
    if (stacks == most_stacks) {
        return;
    }
    std::string text = seen.places.empty() ? "?" + seen.unknown : std::string();
    for (code_place const& each : seen.places) {
        std::array<char, 40> offset{};
        std::snprintf(offset.data(), offset.size(), "%jx %jx ", std::uintmax_t{each.offset},
                      std::uintmax_t{each.function});
        std::string place(each.beside_python ? "p" : "-");
        place.append(offset.data()).append(each.file).append("\n").append(each.exported);
        text.append(text.empty() ? "" : " ")
            .append(std::to_string(number_of(now, place, is_place)));
    }
    auto const known = now.names.size();
    std::uint32_t const stack = number_of(now, text, is_stack);
    stacks += now.names.size() > known ? 1 : 0;
    record(kind::seen, stack, seen.when);
}

void record_stacks(recording& now) noexcept {
    try {
        for (auto const& each : holder_stacks::seen()) {
            record_stack(now, *each);
        }
    } catch (std::exception const&) {  // NOLINT(bugprone-empty-catch): there are no stacks then
    }
}

/// The watching thread has seen something, or wants something from a thread that drops the GIL.
[[gnu::noinline]] void attend_to_stacks(bool drops) noexcept {
    recording& now = current();
    ++making_room;
    if (is_on && now.head != nullptr) {
        if (drops) {
            holder_stacks::note_own_stack();
        }
        record_stacks(now);
    }
    --making_room;
}

/// Records where in Python a hold ends that was looked at. A long call of native code ends it when
/// it returns; the line that is executed is then still the call's.
[[gnu::noinline]] void note_line() noexcept {
    recording& now = current();
    void* const state = functions.knows() ? python->this_threads_state() : nullptr;
    if (state == nullptr) {
        return;
    }
    python_function const running = functions.current(state);
    int const line = running.code == nullptr ? 0 : functions.current_line(state);
    if (line <= 0) {
        return;
    }
    ++making_room;
    if (is_on && now.head != nullptr) {
        try {
            std::array<char, 1024> room{'@'};
            std::string_view const text = text_of(running, line, std::span(room).subspan(1));
            record(kind::at_line, number_of(now, {room.data(), text.size() + 1}, is_line));
        } catch (std::exception const&) {  // NOLINT(bugprone-empty-catch): it is not told then
        }
    }
    --making_room;
}

void on_ask() noexcept {
    errno_kept const as_it_was;
    static constexpr unsigned long_since = 4;
    record(kind::asks);
    if (holder_stacks::are_waiting()) {
        attend_to_stacks(false);
    }
    // For a wait that never ends.
    if (long_wait != 0 && own.waits_since != 0 && last_event - own.waits_since > 10 * long_wait) {
        tell_of_long_wait();
    }
    if (look_after != 0 && last_event >= next_look) {
        next_look = last_event + (last_event - held_since);  // less and less often
        holder_stacks::look_at(holder_of_gil().id);
    }
    if (++asked == long_since) {
        note_holders_name();
    }
}

void on_take() noexcept {
    errno_kept const as_it_was;
    record(kind::takes);
    asked = 0;
    if (long_wait != 0 && own.waits_since != 0 && last_event - own.waits_since > long_wait) {
        tell_of_long_wait();
    }
    own.waits_since = 0;
    held_since = last_event;
    next_look = held_since + look_after;
    holder_stacks::next_hold();
}

void on_drop() noexcept {
    errno_kept const as_it_was;
    if (holder_stacks::are_waiting()) {
        attend_to_stacks(true);
    }
    bool const was_looked_at = next_look != held_since + look_after;
    if (was_looked_at) {
        note_line();
    }
    record(kind::drops, name_of_hold());
}

constinit gil_listener const listener{
    .waits = &on_wait, .asks = &on_ask, .takes = &on_take, .drops = &on_drop};

/// Writes the threads' names at the end: most threads are named after they have begun.
void write_thread_names(recording& now) {
    DIR* const threads = opendir("/proc/self/task");
    if (threads == nullptr) {
        return;
    }
    while (dirent const* const each = readdir(threads)) {
        std::string_view const digits = each->d_name;
        pid_t thread = 0;
        if (std::from_chars(digits.begin(), digits.end(), thread).ec == std::errc()) {
            write_thread_name(now, thread);
        }
    }
    closedir(threads);
}

/// A child has only the thread that forked, and nothing of its parent's recording.
void begin_anew_in_child() {
    making_room = 0;
    readers = 0;
    static_cast<void>(left_chunks.take());
    recording& now = current();
    if (now.head == nullptr) {
        return;
    }
    leave(now);
    unmap(own);
    own = {};
    now.begins = true;
}

void prepare_once() {
    static constinit bool is_prepared = false;  // guarded by the GIL
    if (!std::exchange(is_prepared, true)) {
        tick_clock::ask_the_kernel();
        pthread_key_create(&own_key, &finish_thread);
        pthread_atfork(nullptr, nullptr, &begin_anew_in_child);
        holder_stacks::prepare();
    }
}

}  // namespace

void start_recording(running_python const& traced, std::string const& path,
                     recording_options const& wanted,
                     std::string (*child_path)(std::string const&, pid_t)) {
    prepare_once();
    python = &traced;
    functions = function_reader(traced);
    recording& now = current();
    now.path = path;
    now.child_path = child_path;
    now.wanted = wanted;
    begin(now);
    is_on = true;
    try {
        listen_to_gil(traced, listener);
    } catch (...) {
        is_on = false;
        leave(now);
        unlink(path.c_str());
        throw;
    }
}

recording_reader::recording_reader() {
    ++readers;
    while (making_room > 0) {
        std::this_thread::yield();
    }
    path_ = is_on ? current().path : std::string();
    now_ = tick_clock::this_moment();
}

recording_reader::~recording_reader() { --readers; }

std::string const* recording_in_progress() noexcept {
    recording const& now = current();
    return is_on && now.head != nullptr ? &now.path : nullptr;
}

std::string stop_recording() {
    recording& now = current();
    dismiss(listener);
    holder_stacks::finish();
    is_on = false;
    while (making_room > 0) {
        std::this_thread::yield();
    }
    now.begins = false;
    if (now.head == nullptr) {
        return {};
    }
    record_stacks(now);
    now.head->latest = tick_clock::this_moment();
    now.head->was_ended = 1;
    write_unwritten(now);
    write_thread_names(now);
    ++number;
    leave(now);
    return now.path;
}

}  // namespace handoff::detail
