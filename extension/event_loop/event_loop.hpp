// event_loop: what an asyncio program awaits of a class in C++, written in Python.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

namespace handoff {

/// Has Python know the class of mailboxes. Once, in a module's initialisation.
/// GIL: held. Throws: boost::python::error_already_set.
void register_mailbox();

/// A function of event_loop.py, `wait` or `iterate`, which says what it takes. The file runs when
/// one is first asked for, so that nobody else pays for the import of asyncio; when it fails, it
/// runs again the next time. Where several threads ask for the first time at once, it may run for
/// each, and all get what the first one made.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
boost::python::object from_event_loop(char const* name);

}  // namespace handoff
