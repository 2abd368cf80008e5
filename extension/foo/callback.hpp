// callback: an on_message, as Python's collector sees it.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

namespace handoff {

class ticker;

/// Boost.Python's classes are tracked by the collector, but tell it nothing. So Foo's class does,
/// and what it tells of an on_message is a Python object of its own, which refers to the callable.
///
/// Problem
///   A run calls its on_message from another thread. When only a cycle refers to the Foo, as of an
///   object whose method is the on_message, the collector clears the objects of that cycle one by
///   one; a message that came meanwhile would call the method of an object that has lost its
///   attributes. Foo's own finalizer cannot end the run before: a subclass with a `__del__`
///   replaces it.
///
/// Solution
///   The collector calls the finalizers of all that it found before it clears any of it. This
///   object is among them if and only if its Foo is, nobody can derive from its class, and its
///   finalizer cuts the run.
///
/// GIL:    held, for all of it.
/// Source: CPython's InternalDocs/garbage_collector.md; PEP 442.
namespace callback {

/// Returns: a new reference to one that calls `called`, for that ticker.
/// Throws:  boost::python::error_already_set: MemoryError.
[[nodiscard]] PyObject* make(PyObject* called, ticker& of);

/// Returns: what it calls; None once the collector has cleared it.
[[nodiscard]] boost::python::object called_by(PyObject* callback);

/// The ticker is about to go; somebody may have got hold of the object, by gc.get_referents().
void forget_ticker(PyObject* callback) noexcept;

}  // namespace callback

}  // namespace handoff
