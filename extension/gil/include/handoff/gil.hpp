// The GIL toolkit whole. Needs Python.h only; the Boost.Python binding helper is its own header.
#pragma once

#include <handoff/gil/acquire.hpp>
#include <handoff/gil/attachment.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/owned.hpp>
#include <handoff/gil/raised.hpp>
#include <handoff/gil/release.hpp>
