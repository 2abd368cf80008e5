// event_loop: the part of module Foo that is for asyncio, and written in Python.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

namespace handoff {

/// wait_async(foo, count) or iterate(foo), of event_loop.py, which runs when it is first asked for:
/// nobody else pays for the import of asyncio.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
boost::python::object from_event_loop(char const* name);

}  // namespace handoff
