// PyInit_Foo: the function that makes module Foo, for a host to build in. Needs no Boost.
#pragma once

#include <handoff/gil/python.hpp>

/// Makes module `Foo`. Give it to handoff::host::add_module or PyImport_AppendInittab.
///
/// Two targets define it. handoff::foo contains Foo, and so the program has Boost.Python from its
/// start. The program `handoff` has one that loads Foo's library when Foo is first imported.
/// GIL: held.
extern "C" [[gnu::visibility("default")]] PyObject* PyInit_Foo();
