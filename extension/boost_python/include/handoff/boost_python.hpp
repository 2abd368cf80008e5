// Includes everything that makes a Boost.Python user's classes safe; each part has its own header.
#pragma once

#if defined HANDOFF_TARGETS && !defined HANDOFF_BOOST_PYTHON
#error "Link the target handoff::boost_python: target_link_libraries(... handoff::boost_python)"
#endif

#include <handoff/boost_python/callback.hpp>
#include <handoff/boost_python/fast.hpp>
#include <handoff/boost_python/fast_class.hpp>
#include <handoff/boost_python/functions.hpp>
#include <handoff/boost_python/init_without_gil.hpp>
#include <handoff/boost_python/interruptible.hpp>
#include <handoff/boost_python/module.hpp>
#include <handoff/boost_python/override.hpp>
#include <handoff/boost_python/python_error.hpp>
#include <handoff/boost_python/released_ptr.hpp>
#include <handoff/boost_python/shared_ptr.hpp>
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/gil.hpp>
