// walk_stack(): by the unwinder of the compiler's library.
#include "stack_walk.hpp"

#include <unwind.h>

namespace handoff::detail {

namespace {

struct walk {
    std::span<void*> to;
    walked_stack done{};
    _Unwind_Ptr last_instruction = 0;
    _Unwind_Word last_frame = 0;
};

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* given) {
    auto& own = *static_cast<walk*>(given);
    _Unwind_Ptr const instruction = _Unwind_GetIP(context);
    _Unwind_Word const frame = _Unwind_GetCFA(context);
    bool const is_stuck = instruction == own.last_instruction && frame == own.last_frame;
    if (instruction == 0 || is_stuck || own.done.left_out == most_left_out) {
        return _URC_END_OF_STACK;
    }
    own.last_instruction = instruction;
    own.last_frame = frame;
    if (own.done.taken < own.to.size()) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder's addresses are numbers
        own.to[own.done.taken++] = reinterpret_cast<void*>(instruction);
    } else {
        ++own.done.left_out;
    }
    return _URC_NO_REASON;
}

}  // namespace

void walk_stack(void (*tell)(void* frame, std::uintptr_t stack_pointer)) noexcept {
    struct telling {
        void (*tell)(void* frame, std::uintptr_t stack_pointer);
        int left;
    } own{.tell = tell, .left = 100};
    _Unwind_Backtrace(
        [](_Unwind_Context* context, void* given) {
            auto& its = *static_cast<telling*>(given);
            _Unwind_Ptr const instruction = _Unwind_GetIP(context);
            if (instruction == 0 || its.left-- == 0) {
                return _URC_END_OF_STACK;
            }
            // NOLINTNEXTLINE(performance-no-int-to-ptr): the unwinder's addresses are numbers
            its.tell(reinterpret_cast<void*>(instruction), _Unwind_GetCFA(context));
            return _URC_NO_REASON;
        },
        &own);
}

[[gnu::noinline]] walked_stack walk_stack(std::span<void*> to) noexcept {
    walk own{.to = to};
    _Unwind_Backtrace(&note_frame, &own);
    return own.done;
}

}  // namespace handoff::detail
