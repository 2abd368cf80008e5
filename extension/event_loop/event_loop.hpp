// event_loop: what an asyncio program awaits of a class in C++, written in Python.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

namespace handoff {

/// A function of event_loop.py, which says what it takes: `wait`, `iterate`, `future_of`,
/// `runs_of`, `reader_of`. The file runs when one is first asked for, so that nobody else pays for
/// the import of asyncio; when it fails, it runs again the next time. All modules of a process that
/// contain this code share what it makes, so that a loop has one mailbox.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
boost::python::object from_event_loop(char const* name);

}  // namespace handoff
