// call_frames: whose a function is, by its name, and what is said of one that is not known.
#include "call_frames.hpp"

#include "handoff_pieces.hpp"
#include "line_information.hpp"
#include "stack_walk.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

using handoff::detail::call_frame;
using handoff::detail::code_of;

/// Of a function in a module that was compiled without -g.
code_of owner_of(std::string const& function) {
    call_frame frame{.function = function, .source = {}, .file = "/home/you/module.so"};
    handoff::detail::find_owner(frame, false);
    return frame.whose;
}

TEST(CallFrames, OfABindingLibraryThatIsCompiledInAreItsOwn) {
    for (auto const* const function :
         {"pybind11_object_dealloc", "pybind11_meta_call", "pybind11_clear", "pybind11_getbuffer",
          "pybind11::cpp_function::dispatcher(_object*, _object*, _object*)",
          "pybind11::detail::clear_instance(_object*)",
          "void pybind11::class_<foo>::init_instance<std::unique_ptr<foo>, 0>()",
          "nanobind::detail::inst_dealloc(_object*)", "nanobind::detail::nb_type_dealloc(_object*)",
          "nanobind::detail::nb_func_vectorcall_simple_1(_object*, _object* const*, unsigned long)",
          "boost::python::objects::function::call(_object*, _object*) const"}) {
        EXPECT_EQ(owner_of(function), code_of::binding) << function;
    }
}

TEST(CallFrames, OfAModulesOwnFunctionsAreTheUsers) {
    for (auto const* const function :
         {"pybind11_init_module(pybind11::module_&)", "pybind11_exec_module(_object*)",
          "pybind11_init_module(pybind11::module_&)::{lambda(int)#1}::operator()(int) const",
          "nanobind_module_exec_impl(nanobind::module_)",
          "nanobind_module_exec_impl(nanobind::module_)::{lambda(int)#1}::operator()(int) const",
          "PyInit_module", "PyFoo_read", "PyWorker::run()",
          "(anonymous namespace)::PyWorker::run()", "take_gil(Gil&)", "nb_add",
          "init_module_module()", "foo::start()", "(anonymous namespace)::foo::start()"}) {
        EXPECT_EQ(owner_of(function), code_of::user) << function;
    }
}

TEST(CallFrames, OfPythonsHeadersArePythons) {
    for (auto const* const function : {"Py_DECREF", "_Py_NewRef", "PyType_HasFeature"}) {
        EXPECT_EQ(owner_of(function), code_of::python) << function;
    }
    call_frame inlined{.function = "_Py_CAST_impl<_object*>",
                       .source = "/opt/python/include/python3.11/pyport.h:39",
                       .file = "/home/you/module.so"};
    handoff::detail::find_owner(inlined, false);
    EXPECT_EQ(inlined.whose, code_of::python);
}

TEST(CallFrames, OfNoFileAreNotSaidToBeOfOne) {
    call_frame const made_at_run_time{.function = {}, .source = {}, .file = "?", .offset = 4096};
    EXPECT_EQ(handoff::detail::in_words(made_at_run_time),
              "code of no file, which was made at run time");
}

TEST(CallFrames, OfWhatIsInlinedAreNamedByTheFunctionAround) {
    call_frame const inlined{
        .function = "(inlined in run())", .source = "/a/b.cpp:12", .file = "/a/b.so"};
    EXPECT_EQ(handoff::detail::briefly(inlined), "a function inlined in run() at b.cpp:12");
}

[[gnu::noinline]] void const* place_of_caller() {
    return static_cast<char const*>(__builtin_return_address(0)) - 1;
}

TEST(CallFrames, OfALambdaThatIsInlinedInTheLibraryAreNamedByWhereItWasMade) {
    void const* inside = nullptr;
    std::thread([&]() __attribute__((always_inline)) { inside = place_of_caller(); }).join();
    auto const frames = handoff::detail::call_frames(std::array{inside});
    call_frame const* const users = handoff::detail::users_frame(frames);
    ASSERT_NE(users, nullptr);
    EXPECT_NE(users->source, "");
    EXPECT_THAT(users->function, testing::AnyOf(testing::HasSubstr("TestBody()::{lambda()#1}"),
                                                testing::HasSubstr("TestBody()::$_0")));
}

TEST(CallFrames, OfAFileThatIsGoneAreSaidToBeWithoutLines) {
    call_frame const known{.function = "f()", .source = {}, .file = "/nowhere/module.so"};
    EXPECT_THAT(handoff::detail::in_words(known),
                testing::StartsWith("f() in module.so (lines unknown: compile it with -g"));
    EXPECT_FALSE(handoff::detail::line_information_in(known.file).is_read);
}

/// Its name is also that of a type, float, as C++ encodes types.
extern "C" [[gnu::visibility("default")]] int f();
extern "C" [[gnu::noinline]] int f() { return 1; }

TEST(CallFrames, OfCFunctionsKeepTheirNames) {
    EXPECT_EQ(f(), 1);
    std::array<void const*, 1> const instructions{reinterpret_cast<void const*>(&f)};
    EXPECT_EQ(handoff::detail::call_frames(instructions).back().function, "f");
}

TEST(CallFrames, OfStrippedModulesAreTheUsersIfTheyHaveAName) {
    call_frame const unknown{
        .function = {}, .source = {}, .file = "/home/you/module.so", .offset = 64};
    call_frame known = unknown;
    known.function = "feed::start(pybind11::function)::{lambda()#1}";
    std::array<call_frame, 2> const frames{unknown, known};
    EXPECT_EQ(handoff::detail::users_frame(frames), &frames[1]);
    EXPECT_EQ(handoff::detail::users_frame(std::span(frames).first(1)), frames.data());
}

[[gnu::noinline]] handoff::detail::walked_stack walk_from(std::size_t levels,
                                                          std::span<void*> frames) {
    auto walked = levels == 0 ? handoff::detail::walk_stack(frames) : walk_from(levels - 1, frames);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // so that the call is not the last
    return walked;
}

TEST(WalkedStack, CountsWhatItLeavesOut) {
    std::array<void*, 20> frames{};
    auto const shallow = walk_from(0, frames);
    auto const deep = walk_from(100, frames);
    EXPECT_EQ(deep.taken, frames.size());
    EXPECT_EQ(deep.taken + deep.left_out, shallow.taken + shallow.left_out + 100);
    auto const endless = walk_from(2 * handoff::detail::most_left_out, frames);
    EXPECT_EQ(endless.left_out, handoff::detail::most_left_out);
    EXPECT_EQ(handoff::detail::more_frames(57), "… 57 more");
    EXPECT_EQ(handoff::detail::more_frames(endless.left_out), "… at least 10000 more");
}

TEST(WalkedStack, IsTheWholeWhereThereIsRoom) {
    std::array<void*, 100> frames{};
    auto const walked = walk_from(0, frames);
    EXPECT_EQ(walked.left_out, 0U);
    EXPECT_GT(walked.taken, 2U);
}

/// The innermost first, in modules without debug information.
std::vector<call_frame> stack_of(std::vector<std::string> const& functions) {
    std::vector<call_frame> frames;
    for (auto const& function : functions) {
        frames.push_back({.function = function, .source = {}, .file = "/home/you/module.so"});
        handoff::detail::find_owner(frames.back(), false);
    }
    return frames;
}

std::string piece_of(std::vector<std::string> const& functions) {
    return std::string(handoff::detail::piece_that_releases(stack_of(functions)));
}

TEST(HandoffPieces, AreByWhatBoostPythonCalls) {
    std::string const call = "boost::python::objects::function::call(_object*, _object*) const";
    EXPECT_THAT(piece_of({"pthread_join", "pool::~pool()",
                          "boost::python::objects::value_holder<pool>::~value_holder()"}),
                testing::HasSubstr("handoff::released_ptr<T>"));
    EXPECT_THAT(
        piece_of({"device::device(int)",
                  "boost::python::objects::make_holder<1>::apply<x, y>::execute(_object*)", call}),
        testing::HasSubstr("handoff::init_without_gil<"));
    // The outermost is what Python has called.
    EXPECT_THAT(piece_of({"pool::~pool()", "stop_all(pools&)", call}),
                testing::HasSubstr("handoff::without_gil(&f)"));
}

TEST(HandoffPieces, NameTheGuardsOfTheLibraryThatIsThere) {
    auto const guards = [](std::vector<std::string> const& functions) {
        return handoff::detail::guards_that_acquire(stack_of(functions));
    };
    EXPECT_EQ(guards({"run()", "pybind11::cpp_function::dispatcher(_object*, _object*, _object*)"}),
              "pybind11::gil_scoped_acquire, handoff::gil_acquire, PyGILState_Ensure");
    EXPECT_EQ(guards({"run()", "boost::python::objects::function::call(_object*, _object*) const"}),
              "handoff::gil_acquire, PyGILState_Ensure");
    EXPECT_EQ(guards({"run()"}),
              "handoff::gil_acquire, pybind11::gil_scoped_acquire, nanobind::gil_scoped_acquire, "
              "PyGILState_Ensure");
}

TEST(HandoffPieces, AreNoneWhereBoostPythonHasNotCalled) {
    EXPECT_EQ(piece_of({"pool::~pool()", "delete_pool(_object*)"}), "");
    auto of_boost = stack_of({"std::thread::join()", "boost::python::objects::function::call()"});
    of_boost.back().file = "/usr/lib/libboost_python311.so.1.74.0";
    EXPECT_EQ(handoff::detail::piece_that_releases(of_boost), "");
    EXPECT_EQ(piece_of({"init_module_pools()", "boost::python::detail::init_module()"}), "");
}

TEST(HandoffPieces, AreKnownWhereTheFunctionLeftNoFrame) {
    EXPECT_THAT(piece_of({"std::thread::join()", "boost::python::detail::invoke<void>()"}),
                testing::HasSubstr("handoff::without_gil(&f)"));
    EXPECT_THAT(piece_of({"std::thread::join()",
                          "boost::python::objects::value_holder<pool>::~value_holder()"}),
                testing::HasSubstr("handoff::released_ptr<T>"));
}

TEST(HandoffPieces, TakeTheGilForWhatIsCalled) {
    auto const piece = [](std::string const& called, std::vector<std::string> const& functions) {
        return std::string(handoff::detail::piece_that_calls(called, stack_of(functions)));
    };
    EXPECT_THAT(piece("PyObject_GetAttrString",
                      {"boost::python::detail::wrapper_base::get_override(char const*) const",
                       "cost_from_python::eval(double)"}),
                testing::HasSubstr("handoff::override_of<R>"));
    EXPECT_THAT(piece("PyEval_CallFunction", {"void boost::python::call<void, double>(_object*)",
                                              "feed::publish(double)"}),
                testing::HasSubstr("handoff::register_callback<"));
    EXPECT_THAT(piece("PyFloat_FromDouble", {"void boost::python::call<void, double>(_object*)",
                                             "feed::publish(double)"}),
                testing::HasSubstr("handoff::register_callback<"));
    EXPECT_EQ(piece("PyObject_Size", {"boost::python::len(x)", "feed::count()"}), "");
    EXPECT_EQ(piece("PyObject_CallNoArgs", {"feed::publish(double)"}), "");
}

}  // namespace
