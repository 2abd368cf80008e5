// make_collectable(): lets Python's garbage collector see what a Foo refers to.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff {

/// The collector tracks Boost.Python's classes, but these do not report their references. An
/// on_message refers to its module's globals, and so often to its Foo. Such a cycle would stay
/// forever, and the script's open files with it.
///
/// If only such a cycle refers to a Foo, its run is cut when the collector finds the cycle, before
/// anything of it is cleared: see callback.hpp. A Foo that C++ code shares is left alone.
///
/// GIL: held. REQUIRES: Foo's class, before the first Foo.
/// Source: CPython's "Supporting Cyclic Garbage Collection"; PEP 442.
void make_collectable(PyTypeObject& foo_class);

}  // namespace handoff
