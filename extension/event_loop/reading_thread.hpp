// read_on_thread(): a native thread that reads a mailbox if no event loop does.
#pragma once

#include <boost/python/object.hpp>

namespace handoff {

class mailbox;

/// Starts a thread that calls read(), with the GIL, whenever something is posted: all that is there
/// in one hold. A thread that posts never waits for the GIL. The reading thread ends when the gate
/// is closed, and does not exist in the child of a fork().
///
/// GIL:    held.
/// Throws: std::system_error: no thread can be started.
void read_on_thread(mailbox& from, boost::python::object const& read);

}  // namespace handoff
