// callback: an on_message, as Python's garbage collector sees it.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

namespace handoff {

class ticker;

/// The collector tracks Boost.Python's classes, but these do not report their references. So Foo's
/// class does. For an on_message it reports a separate Python object, which refers to the callable.
///
/// Problem
///   A run calls its on_message from another thread. Suppose that only a cycle refers to the Foo,
///   for example through an object whose method is the on_message. The collector clears the objects
///   of that cycle one by one. A message that arrived meanwhile would call the method of an object
///   that has lost its attributes. Foo's own finalizer cannot end the run before, because a
///   subclass with a `__del__` replaces it.
///
/// Solution
///   The collector calls the finalizers of all objects that it found before it clears any of them.
///   This object is among them if and only if its Foo is. No class can derive from its class, so
///   its finalizer always runs, and it cuts the run.
///
/// GIL:    held, for all of it.
/// Source: CPython's InternalDocs/garbage_collector.md; PEP 442.
namespace callback {

/// Returns: a new reference to one that calls `called`, for that ticker.
/// Throws:  boost::python::error_already_set: MemoryError.
[[nodiscard]] PyObject* make(PyObject* called, ticker& of);

/// Returns: what it calls; None once the collector has cleared it.
[[nodiscard]] boost::python::object called_by(PyObject* callback);

/// The ticker will be destroyed; other code may have got the object, with gc.get_referents().
void forget_ticker(PyObject* callback) noexcept;

}  // namespace callback

}  // namespace handoff
