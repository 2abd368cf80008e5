// call_frames: whose a function is, by its name, its source and its library.
#include "call_frames.hpp"

#include "addr2line.hpp"
#include "line_information.hpp"
#include "running_python.hpp"
#include "stack_walk.hpp"
#include <handoff/gil/detail/stack.hpp>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <dlfcn.h>
#include <filesystem>
#include <iterator>
#include <link.h>
#include <string_view>
#include <system_error>
#include <unwind.h>

namespace handoff::detail {

namespace {

bool begins_with_one_of(std::string_view text, std::span<std::string_view const> beginnings) {
    return std::ranges::any_of(beginnings, [text](auto each) { return text.starts_with(each); });
}

constexpr char const* no_file = "?";

std::string_view base_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// From "int boost::python::call<int>(_object*)" to "boost::python::call<int>": a template's name
/// has the result's type before it.
std::string_view name_in(std::string_view function) {
    static constexpr std::string_view unnamed = "(anonymous namespace)";
    std::size_t begin = 0;
    int depth = 0;
    for (std::size_t at = 0; at < function.size(); ++at) {
        if (function.substr(at).starts_with(unnamed)) {
            at += unnamed.size() - 1;
        } else if (function[at] == '<' || function[at] == '{') {
            ++depth;
        } else if (function[at] == '>' || function[at] == '}') {
            --depth;
        } else if (depth == 0 && function[at] == '(') {
            break;
        } else if (depth == 0 && function[at] == ' ' &&
                   !function.substr(0, at).ends_with("operator")) {
            begin = at + 1;
        }
    }
    return function.substr(begin);
}

constexpr std::array binding_names = std::to_array<std::string_view>(
    {"boost::python::", "pybind11::", "nanobind::", "handoff::", "gilcheck_", "giltrace_",
     "gilwatch_", "__wrap___gxx_personality_v0"});  // the last: see unwinding.hpp
// pybind11's functions with C names, which are compiled into each module; and those of them that
// hold the user's code, as PYBIND11_MODULE makes them.
constexpr std::string_view names_of_pybind11 = "pybind11_";
constexpr std::array users_names_of_pybind11 =
    std::to_array<std::string_view>({"pybind11_init_", "pybind11_exec_"});
constexpr std::array standard_names = std::to_array<std::string_view>(
    {"std::", "__gnu_cxx::", "__cxxabiv1::", "boost::", "tsl::",  // the last: nanobind's tables
     "__interceptor_", "___interceptor_", "__sanitizer", "__asan", "__lsan", "__tsan", "__ubsan"});
// What Python.h compiles into each module, if it is not inlined; and NumPy's C API, whose caller is
// of interest. Source: the `static inline` functions of CPython's Include, 3.11 to 3.15.
constexpr std::array python_names = std::to_array<std::string_view>(
    {"Py_",          "_Py",         "PyArray_",   "PyByteArray_",      "PyBytes_",
     "PyCFunction_", "PyCell_",     "PyCode_",    "PyDTrace_",         "PyDict_",
     "PyFloat_",     "PyFunction_", "PyList_",    "PyInstanceMethod_", "PyLong_",
     "PyMethod_",    "PyModule_",   "PySet_",     "PyMemoryView_",     "PyObject_",
     "PyTuple_",     "PyType_",     "PyUFunc_",   "PyUnicode_",        "PyUnstable_",
     "PyWeakref_",   "PyErr_",      "PyGILState", "PyThreadState_",    "PyVectorcall_"});
constexpr std::array binding_libraries =
    std::to_array<std::string_view>({"libboost_python", "libnanobind"});
constexpr std::array tool_libraries =
    std::to_array<std::string_view>({"libgilcheck", "libgiltrace", "libgilwatch"});
constexpr std::array standard_libraries = std::to_array<std::string_view>(
    {"libc.so", "libc-", "libpthread", "libm.so", "libm-", "libdl", "librt", "libstdc++", "libc++",
     "libgcc_s", "ld-linux", "ld-", "linux-vdso", "libboost_", "libffi", "libasan", "liblsan",
     "libtsan", "libubsan"});

bool is_of_binding(std::string_view name) {
    return begins_with_one_of(name, binding_names) ||
           (name.starts_with(names_of_pybind11) &&
            !begins_with_one_of(name, users_names_of_pybind11));
}

/// By a function's name alone.
code_of whose_is(std::string_view function) {
    std::string_view const name = name_in(function);
    bool const is_cplusplus = function.find_first_of("(:<") != std::string_view::npos;
    return !is_cplusplus && begins_with_one_of(name, python_names) ? code_of::python
           : is_of_binding(name)                                   ? code_of::binding
           : begins_with_one_of(name, standard_names)              ? code_of::standard
                                                                   : code_of::user;
}

/// The user's lambda for which a library's template was made, and which may be inlined into it:
/// "read()::{lambda()#1}" from "void std::__invoke<read()::{lambda()#1}>()", or "read()::$_0" if
/// Clang has compiled it. Empty: there is none.
std::string lambda_in(std::string const& function) {
    static constexpr std::string_view of_clang = "::$_";
    auto lambda = function.find("::{lambda");
    auto end = function.find('}', lambda);
    if (end == std::string::npos) {
        lambda = function.find(of_clang);
        if (lambda == std::string::npos) {
            return {};
        }
        end = function.find_first_not_of("0123456789", lambda + of_clang.size()) - 1;
    }
    std::size_t begin = lambda;
    for (int depth = 0; begin > 0; --begin) {
        char const before = function[begin - 1];
        depth += before == ')' || before == '>' ? 1 : before == '(' || before == '<' ? -1 : 0;
        bool const is_of_a_const_member =
            before == ' ' && std::string_view(function).substr(begin).starts_with("const::");
        if (depth < 0 ||
            (depth == 0 && !is_of_a_const_member && (before == ',' || before == ' '))) {
            break;
        }
    }
    return function.substr(begin, end + 1 - begin);
}

/// beside_python: it is in the object that contains the interpreter. The user's code, which is C++,
/// may be there as well.
code_of owner_of(call_frame const& frame, bool beside_python) {
    std::string_view const library = base_of(frame.file);
    bool const is_c = frame.function.find('(') == std::string::npos;
    auto const made_from = [&](std::string_view folder) {
        return frame.source.find(folder) != std::string::npos;
    };
    if ((beside_python && is_c) || frame.file.find("/lib-dynload/") != std::string::npos ||
        made_from("/include/python3.")) {
        return code_of::python;
    }
    if (code_of const by_name = whose_is(frame.function); by_name != code_of::user) {
        return by_name;
    }
    if (begins_with_one_of(library, tool_libraries)) {
        return code_of::tool;
    }
    if (begins_with_one_of(library, binding_libraries) || made_from("/pybind11/") ||
        made_from("/nanobind/") || made_from("/boost/python/") || made_from("/include/handoff/")) {
        return code_of::binding;
    }
    if (begins_with_one_of(library, standard_libraries) || frame.function == "_start" ||
        made_from("/c++/") || made_from("/usr/include/") || made_from("/include/boost/") ||
        made_from("sanitizer_common")) {
        return code_of::standard;
    }
    return code_of::user;
}

}  // namespace

void find_owner(call_frame& frame, bool beside_python) {
    frame.whose = owner_of(frame, beside_python);
    if (frame.whose != code_of::user && frame.source.empty()) {
        if (std::string const lambda = lambda_in(frame.function);
            !lambda.empty() && whose_is(lambda) == code_of::user) {
            frame.function = lambda;
            frame.whose = code_of::user;
        }
    }
}

namespace {

/// For an inlined function only its own name is known, without its class. Inside a library's
/// function it is the library's, unless that is a template, which may be made from the user's code.
void find_owners_of_inlined(std::span<call_frame> frames) {
    std::string const& function = frames.back().function;
    std::string const lambda = lambda_in(function);
    std::string_view const owner = lambda.empty() ? name_in(function) : std::string_view(lambda);
    code_of const whose = whose_is(owner);
    if (whose == code_of::user ||
        (lambda.empty() && owner.substr(0, owner.find('(')).find('<') != std::string::npos)) {
        return;
    }
    for (call_frame& frame : frames.first(frames.size() - 1)) {
        frame.whose = frame.whose == code_of::user ? whose : frame.whose;
    }
}

bool is_of_a_library(source_line const& place) {
    return whose_is(place.function) != code_of::user ||
           place.line.find("/c++/") != std::string::npos ||
           place.line.find("/include/boost/") != std::string::npos;
}

/// The name of the innermost inlined function, as far as it is known from what is around it. It is
/// the lambda for which the place's function was made, if only the library's code is around it.
std::string name_of_innermost(std::span<source_line const> lines, std::string const& function) {
    std::string lambda = lambda_in(function);
    auto const around = lines.subspan(1);
    auto const users = std::ranges::find_if_not(around, is_of_a_library);
    if (users == around.end() && !lambda.empty()) {
        return lambda;
    }
    std::string const& outer = (users == around.end() ? around.front() : *users).function;
    return "(inlined in " + (outer == "operator()" && !lambda.empty() ? lambda : outer) + ")";
}

/// The debug information calls each lambda "operator()". The outermost one that is inlined in a
/// library's template is the one that the template was made for.
void name_inlined_lambda(std::span<call_frame> frames, std::string const& function) {
    std::string const lambda = lambda_in(function);
    auto const inlined = frames.first(frames.size() - 1);
    auto const outermost =
        std::ranges::find(inlined.rbegin(), inlined.rend(), code_of::user, &call_frame::whose);
    if (!lambda.empty() && outermost != inlined.rend() && outermost->function == "operator()") {
        outermost->function = lambda;
    }
}

/// A place's frames: those inlined there, the innermost first, and the function's own. function:
/// its name in the file's symbols.
std::vector<call_frame> frames_at(code_place const& place, std::string const& function,
                                  std::span<source_line const> lines) {
    std::vector<call_frame> frames;
    for (std::size_t nth = 0; nth < std::max<std::size_t>(lines.size(), 1); ++nth) {
        call_frame frame{
            .function = function, .source = {}, .file = place.file, .offset = place.offset};
        if (nth < lines.size()) {
            frame.source = lines[nth].line;
            bool const is_inlined = nth + 1 < lines.size();
            // Only the symbol's name has the function's parameters. binutils uses that name for the
            // innermost inlined function, which is a different one.
            if (is_inlined && nth == 0 && lines[nth].function == function) {
                frame.function = name_of_innermost(lines, function);
            } else if (is_inlined || frame.function.empty()) {
                frame.function = lines[nth].function;
            }
        }
        find_owner(frame, place.beside_python);
        frames.push_back(std::move(frame));
    }
    find_owners_of_inlined(frames);
    name_inlined_lambda(frames, function);
    return frames;
}

}  // namespace

code_place place_of(void const* instruction) {
    Dl_info known{};
    void* map = nullptr;
    if (dladdr1(instruction, &known, &map, RTLD_DL_LINKMAP) == 0) {
        return {.file = no_file,
                .offset = reinterpret_cast<std::uintptr_t>(instruction),
                .function = 0,
                .exported = {},
                .beside_python = false};
    }
    auto const& loaded = *static_cast<link_map const*>(map);
    std::error_code is_none;
    std::filesystem::path file = loaded.l_name;
    if (file.empty()) {
        file = std::filesystem::read_symlink("/proc/self/exe", is_none);
    } else if (std::filesystem::exists(file, is_none)) {
        file = std::filesystem::absolute(file, is_none);
    }
    auto const python = object_with_python();
    // It takes a return address, which is after the instruction.
    auto const function = reinterpret_cast<std::uintptr_t>(_Unwind_FindEnclosingFunction(
        const_cast<char*>(static_cast<char const*>(instruction)) + 1));
    return {.file = file,
            .offset = reinterpret_cast<std::uintptr_t>(instruction) - loaded.l_addr,
            .function = function == 0 ? 0 : function - loaded.l_addr,
            .exported = known.dli_sname == nullptr ? "" : known.dli_sname,
            .beside_python = python && python->contains(instruction)};
}

std::vector<std::vector<call_frame>> call_frames_of_each(
    std::span<void const* const> instructions) {
    std::vector<code_place> places;
    std::ranges::transform(instructions, std::back_inserter(places), &place_of);
    return call_frames_of_each(places);
}

std::vector<std::vector<call_frame>> call_frames_of_each(std::span<code_place const> places) {
    std::vector<file_place> in_files;
    for (code_place const& each : places) {
        in_files.push_back({.file = each.file, .offset = each.offset});
    }
    auto const lines = source_lines(in_files);
    symbols names;
    std::vector<std::vector<call_frame>> frames;
    for (std::size_t each = 0; each < places.size(); ++each) {
        code_place const& place = places[each];
        char const* const exported = place.exported.empty() ? nullptr : place.exported.c_str();
        frames.push_back(
            frames_at(place, names.function_at(place.file, place.offset, exported), lines[each]));
    }
    return frames;
}

std::vector<call_frame> call_frames(std::span<void const* const> instructions) {
    std::vector<call_frame> frames;
    for (auto& each : call_frames_of_each(instructions)) {
        std::ranges::move(each, std::back_inserter(frames));
    }
    return frames;
}

std::span<call_frame const> called_by_python(std::span<call_frame const> frames) noexcept {
    auto const end = std::ranges::find_if(frames, [](call_frame const& each) {
        return each.function.starts_with("_PyEval_EvalFrame");
    });
    return {frames.begin(), end};
}

call_frame const* users_frame(std::span<call_frame const> frames) noexcept {
    call_frame const* unnamed = nullptr;  // in a stripped module it may be a library's
    for (call_frame const& each : frames) {
        if (each.whose == code_of::user && !(each.function.empty() && each.source.empty())) {
            return &each;
        }
        unnamed = unnamed == nullptr && each.whose == code_of::user ? &each : unnamed;
    }
    return unnamed;
}

bool drops_shared_ptr_of_python(std::span<call_frame const> frames) noexcept {
    return std::ranges::any_of(frames, [](call_frame const& each) {
        return each.function.find("shared_ptr_deleter") != std::string::npos;
    });
}

namespace {

std::string place_in(std::string const& file, std::uintptr_t offset) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "+0x%" PRIxPTR, offset);
    return file + text.data();
}

}  // namespace

std::string function_in_words(call_frame const& frame) {
    static constexpr std::string_view inlined = "(inlined in ";
    if (frame.function.starts_with(inlined)) {
        return "a function " + frame.function.substr(1, frame.function.size() - 2);
    }
    return frame.function.substr(0, frame.function.find('@'));
}

std::string in_words(call_without_caller const& call) {
    return call.function + ", called from " + call.module + " by a function that " +
           std::string(call_without_caller::reason);
}

std::optional<call_without_caller> find_call_without_caller(std::span<call_frame const> frames) {
    static constexpr std::array bindings =
        std::to_array<std::string_view>({"boost::python::", "pybind11::", "nanobind::"});
    for (std::size_t each = 1; each < frames.size(); ++each) {
        call_frame const& frame = frames[each];
        bool const is_bindings = std::ranges::any_of(bindings, [&](std::string_view name) {
            return frame.function.find(name) != std::string::npos;
        });
        if (frame.whose == code_of::standard && !is_bindings) {
            continue;
        }
        call_frame const& called = frames[each - 1];
        std::string const module = frame.file.substr(frame.file.rfind('/') + 1);
        if (frame.whose != code_of::binding || !is_bindings || module.starts_with("libboost_") ||
            called.function.empty()) {
            return std::nullopt;
        }
        return call_without_caller{.function = function_in_words(called), .module = module};
    }
    return std::nullopt;
}

std::string briefly(call_frame const& frame) {
    std::string const library(base_of(frame.file));
    std::string const function = function_in_words(frame);
    if (!frame.source.empty()) {
        return (function.empty() ? "a function" : function) + " at " +
               std::string(base_of(frame.source));
    }
    return !function.empty()       ? function + " in " + library
           : frame.file == no_file ? "code of no file, which was made at run time"
                                   : "a function in " + place_in(library, frame.offset);
}

std::string cure_of_lines(std::string const& file) {
    auto const known = line_information_in(file);
    std::string const install =
        has_addr2line() ? ""
                        : "install addr2line (package binutils), which is in no folder of PATH";
    if (known.has_lines) {
        return install.empty() ? "compile all of its source with -g" : install;
    }
    std::string const compile = std::string("compile it with -g") +
                                (known.is_read && !known.has_names ? ", and do not strip it" : "");
    return install.empty() ? compile : compile + "; and " + install;
}

std::string in_words(call_frame const& frame) {
    std::string what = briefly(frame);
    if (!frame.source.empty() || frame.file == no_file) {
        return what;
    }
    if (!frame.function.empty()) {
        return what + " (lines unknown: " + cure_of_lines(frame.file) + ")";
    }
    auto const known = line_information_in(frame.file);
    return known.is_read && !known.has_names
               ? what + " (no symbols: link it without -s, and do not strip it)"
               : what + " (name unknown)";
}

std::string more_frames(std::size_t left_out) {
    return "… " + std::string(left_out == most_left_out ? "at least " : "") +
           std::to_string(left_out) + " more";
}

std::string in_full(call_frame const& frame) {
    std::string text = frame.function.empty() ? "??" : frame.function;
    if (!frame.source.empty()) {
        text += "  at " + frame.source;
    }
    return text + "  in " + place_in(frame.file, frame.offset);
}

}  // namespace handoff::detail
