// handoff_pieces: by the names of Boost.Python's functions on the stack. Source: its headers
// make_holder.hpp, override.hpp, call.hpp and object_call.hpp.
#include "handoff_pieces.hpp"

#include <algorithm>
#include <string>

namespace handoff::detail {

namespace {

bool has_name(std::span<call_frame const> frames, std::string_view part) noexcept {
    return std::ranges::any_of(frames, [part](call_frame const& each) {
        return each.function.find(part) != std::string::npos;
    });
}

bool is_of_boost_python(std::span<call_frame const> frames) noexcept {
    return std::ranges::any_of(frames, [](call_frame const& each) {
        return each.function.find("boost::python::") != std::string::npos ||
               each.source.find("/boost/python/") != std::string::npos;
    });
}

}  // namespace

std::string_view piece_that_releases(std::span<call_frame const> frames) noexcept {
    auto const outermost =
        std::ranges::find(frames.rbegin(), frames.rend(), code_of::user, &call_frame::whose);
    if (outermost == frames.rend()) {
        return {};
    }
    std::span<call_frame const> const callers(outermost.base(), frames.end());
    std::string_view const function = outermost->function;
    if (!is_of_boost_python(callers) || function.find("init_module_") != std::string_view::npos) {
        return {};
    }
    return function.find('~') != std::string_view::npos
               ? "handoff::released_ptr<T> as the holder in class_<T, ...>"
           : has_name(callers, "make_holder")
               ? "handoff::init_without_gil<...> in place of init<...>"
               : "handoff::without_gil(&f) where f is bound";
}

std::string_view piece_that_calls(std::string_view called,
                                  std::span<call_frame const> frames) noexcept {
    if (has_name(frames, "get_override") || has_name(frames, "boost::python::override")) {
        return "handoff::override_of<R>(this, \"f\")(...) in place of get_override()";
    }
    bool const is_call =
        called.find("_Call") != std::string_view::npos && is_of_boost_python(frames);
    // Its arguments are made first.
    bool const is_before_call = std::ranges::any_of(frames, [](call_frame const& each) {
        return each.function.find("boost::python::call<") != std::string::npos ||
               each.source.find("/boost/python/call.hpp") != std::string::npos ||
               each.source.find("/boost/python/object_call.hpp") != std::string::npos;
    });
    return is_call || is_before_call ? "a std::function in place of the object, with "
                                       "handoff::register_callback<...>() in the module"
                                     : "";
}

}  // namespace handoff::detail
