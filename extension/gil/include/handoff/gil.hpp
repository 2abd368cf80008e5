// The complete GIL toolkit. Needs only Python.h; the Boost.Python parts are headers of their own.
#pragma once

#include <handoff/gil/acquire.hpp>
#include <handoff/gil/attachment.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/interruptible_call.hpp>
#include <handoff/gil/label.hpp>
#include <handoff/gil/lock.hpp>
#include <handoff/gil/mutex.hpp>
#include <handoff/gil/once.hpp>
#include <handoff/gil/owned.hpp>
#include <handoff/gil/raised.hpp>
#include <handoff/gil/registration.hpp>
#include <handoff/gil/release.hpp>
#include <handoff/gil/shared.hpp>
#include <handoff/gil/try_acquire.hpp>
#include <handoff/gil/wait.hpp>
