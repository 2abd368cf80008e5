// make_collectable(): lets Python's garbage collector see what a Foo refers to.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff {

/// Boost.Python's classes are tracked by the collector, but tell it nothing: a cycle through an
/// on_message, which refers to its module's globals and thereby often to its Foo, would stay for
/// ever, and the script's open files with it.
///
/// The run of a Foo that only such a cycle refers to is cut when the collector finds it, before
/// anything of the cycle is cleared: see callback.hpp. A Foo that C++ code shares is left alone.
///
/// GIL: held. REQUIRES: Foo's class, before the first Foo.
/// Source: CPython's "Supporting Cyclic Garbage Collection"; PEP 442.
void make_collectable(PyTypeObject& foo_class);

}  // namespace handoff
