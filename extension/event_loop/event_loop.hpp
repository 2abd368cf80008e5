// event_loop: the objects, written in Python, that an asyncio program awaits of a C++ class.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

namespace handoff {

/// A function of event_loop.py, where its parameters are described: `wait`, `iterate`, `future_of`,
/// `runs_of`, `reader_of`. The file runs when one is first requested, so that other programs do not
/// pay for the import of asyncio; if it fails, it runs again the next time. All modules of a
/// process that contain this code share the result, so that a loop has one mailbox.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
boost::python::object from_event_loop(char const* name);

}  // namespace handoff
