// handoff_pieces: by the names of the binding libraries' functions on the stack. Source:
// Boost.Python's headers make_holder.hpp, override.hpp, call.hpp and object_call.hpp.
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

bool is_of(std::span<call_frame const> frames, std::string_view name_space,
           std::string_view folder) noexcept {
    return std::ranges::any_of(frames, [name_space, folder](call_frame const& each) {
        return each.function.find(name_space) != std::string::npos ||
               each.source.find(folder) != std::string::npos;
    });
}

constexpr std::string_view released_holder =
    "handoff::released_ptr<T> as the holder in class_<T, ...>, and its Python members in "
    "handoff::gil_owned<...>";

bool is_of_boost_python(std::span<call_frame const> frames) noexcept {
    return is_of(frames, "boost::python::", "/boost/python/");
}

/// pybind11's and nanobind's guards have the same names.
std::string guards(std::span<call_frame const> frames, std::string_view handoffs,
                   std::string_view bindings, std::string_view of_the_c_api) {
    bool const is_of_pybind11 = is_of(frames, "pybind11::", "/pybind11/");
    bool const is_of_nanobind = is_of(frames, "nanobind::", "/nanobind/");
    std::string names;
    if (is_of_pybind11 != is_of_nanobind) {
        names.append(is_of_pybind11 ? "pybind11::" : "nanobind::").append(bindings).append(", ");
    }
    names.append(handoffs).append(", ");
    if (is_of_pybind11 == is_of_nanobind && !is_of_boost_python(frames)) {
        names.append("pybind11::").append(bindings).append(", ");
        names.append("nanobind::").append(bindings).append(", ");
    }
    return names.append(of_the_c_api);
}

}  // namespace

std::string guards_that_release(std::span<call_frame const> frames) {
    return guards(frames, "handoff::gil_release", "gil_scoped_release", "Py_BEGIN_ALLOW_THREADS");
}

std::string guards_that_acquire(std::span<call_frame const> frames) {
    return guards(frames, "handoff::gil_acquire", "gil_scoped_acquire", "PyGILState_Ensure");
}

std::string_view piece_that_releases(std::span<call_frame const> frames) noexcept {
    auto const outermost =
        std::ranges::find(frames.rbegin(), frames.rend(), code_of::user, &call_frame::whose);
    if (outermost == frames.rend()) {
        // A function that left no frame, or a destructor without a body.
        return !is_of_boost_python(frames) || !find_call_without_caller(frames) ? ""
               : has_name(frames, "_holder") && has_name(frames, "~")
                   ? released_holder
                   : "handoff::without_gil(&f) where f is bound";
    }
    std::span<call_frame const> const callers(outermost.base(), frames.end());
    std::string_view const function = outermost->function;
    if (!is_of_boost_python(callers) || function.find("init_module_") != std::string_view::npos) {
        return {};
    }
    return function.find('~') != std::string_view::npos ? released_holder
           : has_name(callers, "make_holder")
               ? "handoff::init_without_gil<...> in place of init<...>"
               : "handoff::without_gil(&f) where f is bound";
}

bool calls_by_pydll(std::span<call_frame const> frames) noexcept {
    return std::ranges::any_of(frames, [](call_frame const& each) {
        return each.whose != code_of::user && (each.function.starts_with("ffi_call") ||
                                               each.file.find("/libffi.") != std::string::npos);
    });
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
