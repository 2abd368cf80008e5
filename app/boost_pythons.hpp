// keep_boost_pythons_apart(): makes modules that bring their own Boost.Python use that one.
#pragma once

namespace handoff {

/// For a program that is linked with a shared Boost.Python. The program's libraries are searched
/// before a module's own. So a module that brings another Boost.Python with it, as many wheels do,
/// would get functions of the program's Boost.Python, and crash. From now on such a module is
/// loaded so that the module and its libraries are searched first (RTLD_DEEPBIND). A module that
/// was built with the program's Boost.Python is loaded as before, and exchanges types with the
/// program's modules.
///
/// A module brings its own if it names another libboost_python among the libraries that it needs,
/// or contains the functions itself. If the program has another malloc() than the C library's, for
/// example a sanitizer's, RTLD_DEEPBIND would mix the two. Then such a module is loaded as before,
/// and a RuntimeWarning says so.
///
/// Does nothing in a program without a Boost.Python. Applies to the main interpreter.
/// GIL:    held. Leaves no error set.
/// Source: dlopen(3); ld.so's "Symbol lookup order"; gABI, "Shared Object Dependencies".
void keep_boost_pythons_apart();

}  // namespace handoff
