// python_locks: the wrappers that are called instead of the methods, and then call these.
#include "python_locks.hpp"

#include "current_function.hpp"
#include "gil_events.hpp"
#include "held_locks.hpp"
#include "lock_numbers.hpp"
#include "mapped_array.hpp"
#include "standard_error.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace handoff::detail {

namespace {

// Of CPython 3.11 to 3.15, in builds that have a GIL. Source: cpython/descrobject.h,
// methodobject.h, cpython/object.h.
struct method_definition {
    char const* name;
    void* function;
    int flags;
};
constexpr std::ptrdiff_t definition_of_descriptor = 40;
constexpr std::ptrdiff_t dealloc_of_type = 48;

// Source: methodobject.h.
constexpr int tuple_and_keywords = 3;
constexpr int tuple = 1;
constexpr int no_arguments = 4;
constexpr int one_argument = 8;
constexpr int vector = 128;
constexpr int vector_and_keywords = 130;

template <class Value>
Value& at(void const* object, std::ptrdiff_t offset) noexcept {
    return *reinterpret_cast<Value*>(const_cast<char*>(static_cast<char const*>(object)) + offset);
}

enum class deed : std::uint8_t { takes, gives, gives_all };

struct method {
    std::string_view type;
    char const* name;
    deed does;
    bool is_there_always = true;
};
constexpr std::array methods = std::to_array<method>({
    {.type = "LockType", .name = "acquire", .does = deed::takes},
    {.type = "LockType", .name = "acquire_lock", .does = deed::takes, .is_there_always = false},
    {.type = "LockType", .name = "__enter__", .does = deed::takes},
    {.type = "LockType", .name = "release", .does = deed::gives},
    {.type = "LockType", .name = "release_lock", .does = deed::gives, .is_there_always = false},
    {.type = "LockType", .name = "__exit__", .does = deed::gives},
    {.type = "LockType", .name = "_at_fork_reinit", .does = deed::gives_all},
    {.type = "RLock", .name = "acquire", .does = deed::takes},
    {.type = "RLock", .name = "__enter__", .does = deed::takes},
    {.type = "RLock", .name = "_acquire_restore", .does = deed::takes},
    {.type = "RLock", .name = "release", .does = deed::gives},
    {.type = "RLock", .name = "__exit__", .does = deed::gives},
    {.type = "RLock", .name = "_release_save", .does = deed::gives_all},
    {.type = "RLock", .name = "_at_fork_reinit", .does = deed::gives_all},
});

/// In each calling convention a method gets its object and at most three more words. A method does
/// not read arguments that it does not have.
using method_function = void* (*)(void* self, void* first, void* second, void* third);

struct original {
    method_function function = nullptr;
    int flags = 0;
};
std::array<original, methods.size()> originals;

using dealloc_function = void (*)(void* self);
std::array<dealloc_function, 2> deallocs{};

void const* true_object = nullptr;
void const* false_object = nullptr;

std::ptrdiff_t (*size_of_tuple)(void const* tuple) = nullptr;
void const* (*item_of_tuple)(void const* tuple, std::ptrdiff_t index) = nullptr;  // borrowed

using written_place = std::array<char, 96>;
mapped_array<written_place> const* places = nullptr;  // by number

/// For acquire(), or acquire(True), and for methods that always wait.
bool waits_for_ever(int flags, void const* first, void const* second, void const* third) noexcept {
    std::ptrdiff_t count = 0;
    void const* only = nullptr;  // the argument
    switch (flags) {
        case tuple_and_keywords:
            if (second != nullptr) {
                return false;
            }
            count = first == nullptr ? 0 : size_of_tuple(first);
            only = count == 1 ? item_of_tuple(first, 0) : nullptr;
            break;
        case vector_and_keywords:
            if (third != nullptr) {
                return false;
            }
            count = reinterpret_cast<std::ptrdiff_t>(second);
            only = count == 1 ? *static_cast<void const* const*>(first) : nullptr;
            break;
        default:
            break;  // __enter__(), _acquire_restore(state)
    }
    return count == 0 || (count == 1 && only == true_object);
}

/// A Lock may be a signal, until the thread that took it releases it. by_taker: that is certain
/// from the beginning, as only its owner can release an RLock, and `with` releases what it has
/// taken.
lock_number number_for(void const* self, bool by_taker) noexcept {
    lock_number number = known_number_of(lock_kind::python_lock, self);
    if (number == 0) {
        number = number_of(lock_kind::python_lock, self);
        write_own_python_place((*places)[number]);
        if (number != 0 && by_taker) {
            note_given_back(number, true);
        }
    }
    return number;
}

void take(thread_locks& thread, lock_number lock, void const* result) noexcept {
    if (result == nullptr || result == false_object) {
        thread.goes_without();
        return;
    }
    thread.has(lock, false, nullptr, nullptr);
    note_call_of_python();  // while it is held the interpreter may release the GIL at any time
}

template <std::size_t Which>
void* stand_in(void* self, void* first, void* second, void* third) {
    constexpr method its = methods.at(Which);
    method_function const call = originals.at(Which).function;
    thread_locks* const thread = handoff_gil_held ? thread_locks::current() : nullptr;
    if (thread == nullptr) {
        return call(self, first, second, third);
    }
    if constexpr (its.does == deed::takes) {
        static constexpr bool by_taker =
            its.type == "RLock" || std::string_view(its.name) == "__enter__";
        lock_number const lock = number_for(self, by_taker);
        if (lock == 0 || is_ignored(lock)) {
            thread->gives_all(lock);  // another thread released it
            return call(self, first, second, third);
        }
        if (waits_for_ever(originals.at(Which).flags, first, second, third)) {
            thread->wants_without_gil(lock);
        }
        void* const result = call(self, first, second, third);
        take(*thread, lock, result);
        return result;
    } else {
        void* const result = call(self, first, second, third);
        lock_number const lock = known_number_of(lock_kind::python_lock, self);
        if (lock != 0 && result != nullptr) {
            bool const took_it =
                its.does == deed::gives_all ? thread->gives_all(lock) > 0 : thread->gives(lock);
            if (took_it || (its.type == "LockType" && its.does == deed::gives)) {
                note_given_back(lock, took_it);  // only its owner can release an RLock
            }
        }
        return result;
    }
}

template <std::size_t Which>
void forget_and_dealloc(void* self) {
    if (thread_locks* const thread = thread_locks::current()) {
        thread->gives_all(known_number_of(lock_kind::python_lock, self));
        forget(lock_kind::python_lock, self);
    }
    deallocs.at(Which)(self);
}

template <std::size_t... Which>
constexpr auto stand_ins_of(std::index_sequence<Which...> /*all*/) noexcept {
    return std::array<method_function, sizeof...(Which)>{&stand_in<Which>...};
}

bool is_known(int flags) noexcept {
    return flags == tuple_and_keywords || flags == tuple || flags == no_arguments ||
           flags == one_argument || flags == vector || flags == vector_and_keywords;
}

/// A module of Python's, and its attributes, which live as long as it. GIL: held.
class python_module {
public:
    python_module(running_python const& python, char const* name) {
        python.look_up(get_, "PyObject_GetAttrString");
        python.look_up(let_go_, "Py_DecRef");
        python.look_up(clear_, "PyErr_Clear");
        void* (*import)(char const*) = nullptr;
        python.look_up(import, "PyImport_ImportModule");
        module_ = import(name);
        clear_();
    }
    [[nodiscard]] void* attribute(std::string_view name) const { return of(module_, name); }
    /// Null: there is none.
    [[nodiscard]] void* of(void* object, std::string_view name) const {
        void* const found = object == nullptr ? nullptr : get_(object, std::string(name).c_str());
        if (found == nullptr) {
            clear_();
        } else {
            let_go_(found);
        }
        return found;
    }

private:
    void* (*get_)(void*, char const*) = nullptr;
    void (*let_go_)(void*) = nullptr;
    void (*clear_)() = nullptr;
    void* module_ = nullptr;
};

/// GIL: held. Throws: as watch_python_locks(); then nothing is changed.
void stand_between(running_python const& python) {
    python_module const threads(python, "_thread");
    void* const type_of_descriptors = python.object.find("PyMethodDescr_Type").address;
    std::array<method_definition*, methods.size()> definitions{};
    for (std::size_t each = 0; each < methods.size(); ++each) {
        method const& its = methods.at(each);
        void* const descriptor = threads.of(threads.attribute(its.type), its.name);
        if (descriptor == nullptr && !its.is_there_always) {
            continue;
        }
        bool const is_one = descriptor != nullptr && type_of_descriptors != nullptr &&
                            at<void*>(descriptor, 8) == type_of_descriptors;
        auto* const found =
            is_one ? at<method_definition*>(descriptor, definition_of_descriptor) : nullptr;
        if (found == nullptr || std::string_view(found->name) != its.name ||
            !is_known(found->flags)) {
            throw std::runtime_error(
                std::string("gilcheck: python-locks: the method ") + its.name + " of _thread." +
                std::string(its.type) +
                " is not as that of CPython 3.11 to 3.15: leave that setting out");
        }
        definitions.at(each) = found;
    }
    places = new mapped_array<written_place>(most_locks);
    python.look_up(size_of_tuple, "PyTuple_Size");
    python.look_up(item_of_tuple, "PyTuple_GetItem");
    true_object = python.object.find("_Py_TrueStruct").address;
    false_object = python.object.find("_Py_FalseStruct").address;
    auto const type_of_lock = threads.attribute("LockType");
    auto const type_of_rlock = threads.attribute("RLock");
    deallocs = {at<dealloc_function>(type_of_lock, dealloc_of_type),
                at<dealloc_function>(type_of_rlock, dealloc_of_type)};
    static constexpr auto ours = stand_ins_of(std::make_index_sequence<methods.size()>());
    for (std::size_t each = 0; each < methods.size(); ++each) {
        if (method_definition* const found = definitions.at(each)) {
            originals.at(each) = {.function = reinterpret_cast<method_function>(found->function),
                                  .flags = found->flags};
            found->function = reinterpret_cast<void*>(ours.at(each));
        }
    }
    at<dealloc_function>(type_of_lock, dealloc_of_type) = &forget_and_dealloc<0>;
    at<dealloc_function>(type_of_rlock, dealloc_of_type) = &forget_and_dealloc<1>;
}

running_python const* waited_for = nullptr;

}  // namespace

void watch_python_locks(running_python const& python, bool held) {
    static constinit std::atomic<bool> is_done = false;
    if (is_done.exchange(true)) {
        return;
    }
    if (held) {
        stand_between(python);
        return;
    }
    waited_for = &python;
    int (*add_pending_call)(int (*)(void*), void*) = nullptr;
    python.look_up(add_pending_call, "Py_AddPendingCall");
    add_pending_call(
        [](void*) {
            try {
                stand_between(*waited_for);
            } catch (std::runtime_error const& wrong) {
                write_stderr(std::string(wrong.what()) + "\n");
            }
            return 0;
        },
        nullptr);
}

std::string place_of_python_lock(lock_number lock) {
    std::string_view const written = places == nullptr ? "" : (*places)[lock].data();
    return written.empty() ? std::string() : place_in_words(written);
}

}  // namespace handoff::detail
