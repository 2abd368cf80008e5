// keep_boost_pythons_apart(): modules that bring a Boost.Python of their own use that one.
#pragma once

namespace handoff {

/// For a program that is linked with a shared Boost.Python. The program's libraries are searched
/// before a module's own, so a module that brings another Boost.Python with it, as many wheels do,
/// would be given functions of this one, and crash. From now on such a module is loaded so that it
/// is searched first, with what it needs (RTLD_DEEPBIND). A module that was made with the program's
/// Boost.Python is loaded as ever, and exchanges types with the program's modules.
///
/// It is such a module if it names another libboost_python among the libraries that it needs, or
/// has the functions in itself. Where the program brings another malloc() than the C library's, a
/// sanitizer's for one, RTLD_DEEPBIND would mix the two: then such a module is loaded as ever, and
/// a RuntimeWarning says so.
///
/// Does nothing in a program without a Boost.Python. Concerns the main interpreter.
/// GIL:    held. Leaves no error set.
/// Source: dlopen(3); ld.so's "Symbol lookup order"; gABI, "Shared Object Dependencies".
void keep_boost_pythons_apart();

}  // namespace handoff
